"""Settings: the only reader of the environment."""

from __future__ import annotations

import os
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

STRIPE_API_BASE: Final = "https://api.stripe.com"


class Settings(BaseSettings):
    """What an instance of Tierce can be told, each as ``TIERCE_<NAME>``.

    With no ``database_url`` and no ``redis_url``, ``tierce up`` starts its own embedded servers
    under ``home`` and fills both in.
    """

    model_config = SettingsConfigDict(env_prefix="TIERCE_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".tierce"), description="Folder of embedded servers and keys.")
    database_url: str | None = Field(
        default=None, description="postgresql://… of a role that may create roles and schemas."
    )
    redis_url: str | None = Field(default=None, description="redis://… of any Redis or Valkey.")
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8480, ge=1, le=65535, description="Port the API listens on.")
    public_url: str = Field(
        default="http://127.0.0.1:8480", description="Base of links and the tokens' issuer."
    )
    operator_key: SecretStr | None = Field(
        default=None, description="Secret of the instance's operator, who creates platforms."
    )
    signing_key: SecretStr | None = Field(
        default=None, description="PEM of the P-256 private key that signs member tokens (ES256)."
    )
    code_key: SecretStr | None = Field(
        default=None, description="Secret from which hand-over codes are derived, 32+ characters."
    )
    pool_size: int = Field(default=10, ge=1, le=200, description="Connections a process keeps.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    log_json: bool = Field(default=True, description="JSON lines; false prints for people.")
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Secret that opens GET /metrics beside the operator key, for the scraper.",
    )
    worker_metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of loopback on which a worker shows its own metrics; none when not set.",
    )
    max_body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest request body.")
    body_seconds: float = Field(default=30, gt=0, description="Longest that a body may take.")
    file_seconds: float = Field(
        default=300, gt=0, description="Longest that a file of evidence may take to come."
    )
    files_url: str | None = Field(
        default=None,
        description="Where files of evidence are kept, of this instance alone: a folder, or a URL "
        "for fsspec such as s3://bucket/prefix; the folder `files` of TIERCE_HOME when not set.",
    )
    max_file_bytes: int = Field(
        default=10_485_760, ge=1024, description="Largest file of evidence that is taken."
    )
    evidence_days: int = Field(
        default=180, ge=30, le=3650, description="Days that evidence is kept after its case closed."
    )

    smtp_url: SecretStr | None = Field(
        default=None, description="smtp://user:password@host:587 or smtps://… for e-mail."
    )
    mail_from: str | None = Field(default=None, description="Address that e-mail comes from.")
    bounce_address: str | None = Field(
        default=None, description="Address that mail comes back to; `tierce bounce` reads it."
    )
    sms: Literal["none", "log"] = Field(
        default="none", description="log writes a line for each SMS; there is no gateway yet."
    )
    dev_pages: bool = Field(
        default=False, description="Serve /dev/mailbox to anybody who can reach this port."
    )

    wrong_keys_per_minute: int = Field(
        default=60, ge=1, description="Wrong keys that a network may send before it must wait."
    )
    member_requests_per_minute: int = Field(
        default=600, ge=1, description="Requests that a member's tokens may make."
    )
    platform_requests_per_minute: int | None = Field(
        default=None, ge=1, description="Requests that a platform's keys may make; no limit unset."
    )

    webhooks_allow_private: bool = Field(
        default=False,
        description="Send webhooks to private addresses and without TLS too: for development.",
    )

    stripe_api_base: str = Field(
        default=STRIPE_API_BASE,
        description="Where Stripe answers; another address only for tests, on this machine.",
    )

    @field_validator("stripe_api_base")
    @classmethod
    def _no_key_in_the_open(cls, base: str) -> str:
        """Keys and payments go over TLS, or stay on this machine."""
        parts = urlsplit(base)
        if parts.scheme != "https" and not is_loopback(parts.hostname):
            raise ValueError("TIERCE_STRIPE_API_BASE must be https://…, or http:// on loopback.")
        return base.rstrip("/")

    @field_validator("smtp_url")
    @classmethod
    def _a_mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        """Say so at start, not at the first message."""
        parts = urlsplit("" if url is None else url.get_secret_value())
        if url is not None and (parts.scheme not in {"smtp", "smtps"} or not parts.hostname):
            raise ValueError("TIERCE_SMTP_URL looks like smtp://user:password@host:587")
        return url

    @model_validator(mode="after")
    def _mail_comes_from_somewhere(self) -> Settings:
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError("TIERCE_SMTP_URL needs TIERCE_MAIL_FROM, the address mail comes from.")
        return self

    @field_validator("database_url")
    @classmethod
    def _psycopg(cls, url: str | None) -> str | None:
        """Accept the usual ``postgres://`` spellings; there is one driver, psycopg 3."""
        if url is None:
            return None
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
            raise ValueError(
                "TIERCE_DATABASE_URL must look like postgresql://user:password@host/db"
            )
        return f"postgresql+psycopg://{rest}"


def unknown_variables() -> dict[str, str | None]:
    """Return the variables of the environment that look like settings and are none.

    Each with the setting that was probably meant, if one is like it.
    """
    known = [f"TIERCE_{name.upper()}" for name in Settings.model_fields]
    strange = sorted(name for name in os.environ if name.upper().startswith("TIERCE_"))
    return {
        name: next(iter(get_close_matches(name.upper(), known, 1)), None)
        for name in strange
        if name.upper() not in known
    }


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine itself."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read from the environment once."""
    return Settings()
