"""What the API gives of signed documents and exports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from service.http.schemas.base import Answer

Language = Literal["fr", "en", "br"]
Format = Literal["json", "pdf"]


class SignedOut(Answer):
    """A signed document: whoever has it can prove it with the published keys alone."""

    object: Literal["signed_document"]
    kind: Literal["decision", "receipt"]
    jws: str = Field(
        description="Compact JWS (RFC 7515, ES256). Its key is in /.well-known/jwks.json; "
        "`tierce verify` proves it offline."
    )
    document: dict[str, Any] = Field(
        description="What is signed, for reading; whoever relies on it verifies `jws`. "
        "`mode` tells a sandbox from what was real."
    )


class ExportOut(Answer):
    """A case as whoever judges it next needs it; `tierce verify` proves it offline."""

    type: Literal["tierce-case-export"]
    version: Literal[1]
    mode: Literal["live", "sandbox"]
    issuer: str
    platform: str
    case: str
    exchange: str
    payer: str
    payee: str
    kind: str
    cause: str
    reason: str
    claimant: str | None
    names: dict[str, str] = Field(
        description="Public ids by those that file and journal have for the same."
    )
    stage: str
    opened_at: str
    closed_at: str | None
    lines: list[dict[str, Any]] = Field(description="What is in dispute, in minor units.")
    units: dict[str, int] = Field(description="How many decimals the amounts of each unit have.")
    file: dict[str, Any] = Field(description="What was agreed and asked, frozen at the opening.")
    file_sha256: str
    journal: list[dict[str, Any]] = Field(
        description="Every line, each with the hash of the one before. One that is `withheld` has "
        "its place in the chain alone."
    )
    evidence: list[dict[str, Any]] = Field(
        description="Every piece with its author, time and hashes; files are had one by one."
    )
    extract: str = Field(description="JWS that binds all of the above.")
    decision: str | None = Field(description="JWS of the decision, if there is one.")
