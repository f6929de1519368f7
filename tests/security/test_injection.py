"""What strangers write is kept as they wrote it, and is neither SQL nor a header nor a format."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, text

from tests.http.client import Api
from tests.http.conftest import OPERATOR_KEY
from tests.security.test_roles import TABLE, Line

HOSTILE: Final = (
    "'; DROP TABLE service.member; --",
    '" OR ""="',
    "1) UNION SELECT secret_hash FROM service.api_key --",
    "%(platform_id)s",
    ":platform_id",
    "{0.__class__}",
    "{{7*7}}{% raw %}",
    "\\'; SELECT pg_sleep(9); --",
    "a\r\nSet-Cookie: owned=1\r\n\r\n<html>",
    "${jndi:ldap://127.0.0.1/a}",
    "../../../../etc/passwd",
    "%s%s%s%n",
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_are_kept_and_found_as_they_are(
    api: Api, neighbour: Api, engine: Engine, hostile: str
) -> None:
    neighbour.member(hostile)
    made = api.member(hostile, name=hostile.replace("\r\n", " "))
    assert made["external_id"] == hostile
    found = api.read("/v1/members", external_id=hostile)["data"]
    assert [one["id"] for one in found] == [made["id"]]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM service.member")).scalar_one() >= 2


_READS: Final = [line for line in TABLE if line[1] == "GET" and {"ApiKey", "OperatorKey"} & line[3]]


@pytest.mark.parametrize("line", _READS, ids=lambda line: line[0])
def test_no_part_of_an_address_is_more_than_a_value(api: Api, line: Line) -> None:
    """Every place of a path and every name of a query; none of them is our mistake."""
    caller = api if "ApiKey" in line[3] else Api(api.server, OPERATOR_KEY)
    queries = ("unit", "at", "cursor", "limit", "state", "member", "type", "kind", "since", "sort")
    for hostile in HOSTILE:
        path = "/".join(
            quote(hostile, safe="") if part.startswith("{") else part for part in line[2].split("/")
        )
        tried = [caller.get(path)] if path != line[2] else []
        if "{" not in line[2]:
            tried += [caller.get(line[2], **{name: hostile}) for name in queries]
        for answer in tried:
            assert answer.status_code in {200, 400, 404, 422}, (path, answer.text)
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("hostile", ["a\r\nX-Owned: 1", "a\nX-Owned: 1", "a\x00b", "é" * 300])
def test_no_header_of_ours_is_written_by_a_caller(api: Api, hostile: str) -> None:
    for name in ("X-Request-ID", "Idempotency-Key", "Origin", "Accept-Language"):
        answer = api.send(
            "POST", "/v1/members", {"external_id": "x"}, headers={name: hostile.encode()}
        )
        assert "x-owned" not in answer.headers
        assert answer.status_code in {201, 400, 409, 422}, (name, answer.text)
        for value in answer.headers.values():
            assert "owned" not in value.lower()
            assert value.isprintable()
