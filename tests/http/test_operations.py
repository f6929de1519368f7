"""What the operator looks at: dead letters, outages, metrics, and who may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service.db import SYSTEM, transaction
from service.ids import encode, uuid7
from service.operations import dead_letters, outages
from tests.http.client import Api, problem


@pytest.fixture
def letter(engine: Engine, platform_id: UUID) -> str:
    """A dead letter of the platform, about a payment that is not there any more."""
    with transaction(engine, platform_id) as connection:
        made = dead_letters.record(
            connection,
            platform_id,
            "payment",
            {"payment": encode("payment", uuid7())},
            KeyError("legs"),
            datetime.now(UTC),
            5,
        )
    return encode("dead_letter", made)


def test_a_platform_sees_its_dead_letters_and_has_them_taken_up_again(
    api: Api, letter: str
) -> None:
    (shown,) = api.read("/v1/dead-letters", open="true")["data"]
    assert (shown["id"], shown["work"], shown["attempts"]) == (letter, "payment", 5)
    assert shown["error"] == "KeyError: 'legs'"
    assert api.read(f"/v1/dead-letters/{letter}") == shown
    taken = api.made(f"/v1/dead-letters/{letter}/retry")
    assert (taken["resolution"], taken["resolved_at"] is None) == ("gone", False)
    assert api.read("/v1/dead-letters", open="true")["data"] == []
    assert api.read("/v1/dead-letters", open="false")["data"] == [taken]
    problem(api.post(f"/v1/dead-letters/{letter}/retry"), 409, "dead_letter_resolved")


def test_reading_dead_letters_is_not_enough_to_take_them_up(
    new_api: Callable[..., Api], platform_id: UUID, letter: str
) -> None:
    reader = new_api("operations:read", platform_id=platform_id)
    assert reader.get(f"/v1/dead-letters/{letter}").status_code == 200
    problem(reader.post(f"/v1/dead-letters/{letter}/retry"), 403, "scope_missing")


def test_the_operator_sees_everybody_s_and_whose_they_are(
    operator: Api, platform_id: UUID, letter: str
) -> None:
    found = operator.read("/v1/operator/dead-letters", open="true", limit=100)["data"]
    (shown,) = [one for one in found if one["id"] == letter]
    assert shown["platform"] == encode("platform", platform_id)
    taken = operator.made(f"/v1/operator/dead-letters/{letter}/retry")
    assert taken["resolution"] == "gone"


def test_the_operator_records_an_outage_that_is_over(operator: Api) -> None:
    ended = datetime.now(UTC).replace(microsecond=0) - timedelta(days=400)
    body = {
        "kind": "mail",
        "began_at": (ended - timedelta(hours=3)).isoformat(),
        "ended_at": ended.isoformat(),
        "reason": "The mail server was down.",
    }
    made = operator.made("/v1/operator/outages", body)
    assert made in operator.read("/v1/operator/outages", limit=100)["data"]
    future = {**body, "ended_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    problem(operator.post("/v1/operator/outages", future), 422, "invalid_outage")


def test_metrics_open_to_the_operator_alone_and_name_routes_without_ids(
    operator: Api, api: Api, anonymous: Api, letter: str
) -> None:
    api.read(f"/v1/dead-letters/{letter}")
    for caller in (anonymous, api):
        problem(caller.get("/metrics"), 401, "not_signed_in")
    answer = operator.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    counted = (
        'tierce_http_requests_total{method="GET",route="/v1/dead-letters/{dead_letter}"'
        ',status="2xx"}'
    )
    assert counted in answer.text
    assert letter not in answer.text
    assert 'tierce_dead_letters_open{work="payment"}' in answer.text
    assert "tierce_broker_up 1.0" in answer.text
    assert 'tierce_processes_alive{kind="api"}' in answer.text


def test_an_address_that_is_not_there_is_one_label_however_it_is_spelt(
    anonymous: Api, operator: Api
) -> None:
    for name in ("a", "b", "c"):
        anonymous.get(f"/v1/nothing/{name}")
    text = operator.get("/metrics").text
    assert "/v1/nothing" not in text
    assert 'route="unknown",status="4xx"' in text


def test_readiness_tells_what_is_missing_to_anybody_and_nothing_else(
    anonymous: Api, engine: Engine
) -> None:
    with transaction(engine, SYSTEM) as connection:
        connection.execute(text("DELETE FROM service.heartbeat WHERE kind = 'worker'"))
    found = anonymous.read("/readyz")
    assert (found["status"], found["broker"], found["worker"]) == ("ready", "answers", "not seen")
    with transaction(engine, SYSTEM) as connection:
        outages.beat(connection, "worker:test", "worker", datetime.now(UTC))
    found = anonymous.read("/readyz")
    assert set(found) == {"status", "database", "broker", "worker"}
    assert found["worker"] == "alive"
