"""Logging: the ids are in every line and no secret is in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.cli.home import _new_signing_key
from service.log import REMOVED, bound, configure, scrub_text

KEY = "tk_sandbox_3Jx9mQ2nR7sT5vW8yZ1aB4cD6eF0gH"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYl8xIn0.c2lnbmF0dXJlLWJ5dGVz"
PEM = _new_signing_key()
SECRETS = [KEY, JWT, PEM, PEM[:120], f"Bearer {KEY}", "Basic dXNlcjpwdw=="]
OF_STRIPE = [
    "sk_test_" + "a1B2c3D4" * 4,
    "rk_live_" + "a1B2c3D4" * 4,
    "whsec_a1B2c3D4+/=a1B2c3D4",
    "pi_3a1B2c3D4_secret_a1B2c3D4",
    "cs_test_3a1B2c3D4_secret_a1B2c3D4",
]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the lines go; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure("info", stream=out)
    yield out
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_what_is_being_done(stream: io.StringIO) -> None:
    log = structlog.get_logger("tierce.test")
    with bound(request_id="req_1", exchange="ex_1"):
        log.info("posting_created", posting="po_1", amount=6500)
    log.info("after")
    first, second = lines(stream)
    assert first["event"] == "posting_created"
    assert (first["request_id"], first["exchange"], first["posting"]) == ("req_1", "ex_1", "po_1")
    assert (first["amount"], first["level"], first["logger"]) == (6500, "info", "tierce.test")
    assert first["timestamp"].endswith("Z")
    assert "request_id" not in second


@pytest.mark.parametrize("secret", [*SECRETS, *OF_STRIPE])
def test_a_secret_is_removed_wherever_it_stands(stream: io.StringIO, secret: str) -> None:
    log = structlog.get_logger()
    log.info(f"given {secret} here", text=f"x {secret}", deep={"list": [{"value": secret}]})
    logging.getLogger("some.library").warning("sent %s", secret)
    try:
        raise RuntimeError(f"refused {secret}")
    except RuntimeError:
        log.exception("failed")
    written = stream.getvalue()
    assert len(lines(stream)) == 3
    body = secret.removeprefix("Bearer ").removeprefix("Basic ").strip()
    assert body not in written
    assert json.dumps(body)[1:-1] not in written
    assert written.count(REMOVED) >= 5


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "api_key",
        "operator_key",
        "member_token",
        "password",
        "hand_over_code",
        "handover_code",
        "digits",
        "signing_key",
        "set-cookie",
        "client_secret",
    ],
)
def test_a_fact_with_a_secret_name_is_removed_whatever_it_is(
    stream: io.StringIO, name: str
) -> None:
    structlog.get_logger().info("told", **{name: "482913"}, headers={name: "482913"})
    (line,) = lines(stream)
    assert line[name] == REMOVED
    assert line["headers"] == {name: REMOVED}


def test_what_is_no_secret_stays_readable(stream: io.StringIO) -> None:
    facts = {
        "api_key_id": "key_06e2t0x4v8f3q5w1z9k7c2m4na",
        "idempotency_key": "order-17",
        "code": "stale_version",
        "exchange": "ex_06e2t0x4v8f3q5w1z9k7c2m4na",
        "amount": 482913,
        "path": "/v1/exchanges?limit=10",
        "tokenless": None,
    }
    structlog.get_logger().info("kept", **facts)
    (line,) = lines(stream)
    del facts["tokenless"]
    assert {name: line[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "postgresql+psycopg://tierce:s3cret@127.0.0.1:5432/tierce",
            f"postgresql+psycopg://tierce:{REMOVED}@127.0.0.1:5432/tierce",
        ),
        ("redis://:s3cret@127.0.0.1:6379/0", f"redis://:{REMOVED}@127.0.0.1:6379/0"),
        ("https://example.org:8480/v1", "https://example.org:8480/v1"),
    ],
)
def test_the_password_in_a_url_is_removed(text: str, expected: str) -> None:
    assert scrub_text(text) == expected


def test_lines_for_people_hide_secrets_too() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("info", as_json=False, stream=out)
        try:
            raise RuntimeError(f"refused {KEY}")
        except RuntimeError:
            structlog.get_logger().exception("failed", token=KEY)
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()
    assert "failed" in out.getvalue()
    assert "RuntimeError" in out.getvalue()
    assert KEY not in out.getvalue()


def test_an_unknown_level_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="TIERCE_LOG_LEVEL"):
        configure("loud")
