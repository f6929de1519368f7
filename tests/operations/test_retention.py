"""What has served goes when its time is over, and neither sooner nor while it waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from psycopg.errors import InsufficientPrivilege, RestrictViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from service.db import SYSTEM, Scope, transaction
from service.events import endpoints, outbox
from service.ids import least_uuid7, uuid7
from service.messages.channels import Channels
from service.operations import retention
from service.sealing import Sealer
from tests.messages.street import PUBLIC, Street

REAL: Final = datetime.now(UTC)
DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few rows take several rounds."""
    monkeypatch.setattr(retention, "_BATCH", 2)


def _run(engine: Engine, platform_id: UUID, query: str, **values: Any) -> None:
    with transaction(engine, platform_id) as connection:
        connection.execute(text(query), {"p": platform_id, **values})


def _all(engine: Engine, platform_id: UUID, query: str) -> Sequence[Any]:
    with transaction(engine, platform_id) as connection:
        return connection.scalars(text(query), {"p": platform_id}).all()


def _answer(engine: Engine, platform_id: UUID, key: str, expires_at: datetime) -> None:
    _run(
        engine,
        platform_id,
        "INSERT INTO service.idempotency (platform_id, actor, key, fingerprint, status, "
        "body, created_at, expires_at) VALUES (:p, 'platform', :key, :hash, 201, '{}', "
        ":expires_at - interval '1 day', :expires_at)",
        key=key,
        hash=bytes(32),
        expires_at=expires_at,
    )


def test_an_answer_goes_when_its_time_is_over_on_every_platform(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    one, other = new_platform(), new_platform()
    for number in range(3):
        _answer(engine, one, f"old-{number}", REAL + number * DAY)
    _answer(engine, one, "young", REAL + 10 * DAY)
    _answer(engine, other, "old", REAL)
    query = "SELECT key FROM service.idempotency ORDER BY key"
    retention.forget(engine, REAL - MOMENT)
    assert _all(engine, one, query) == ["old-0", "old-1", "old-2", "young"]
    retention.forget(engine, REAL + 2 * DAY)
    assert _all(engine, one, query) == ["young"]
    assert _all(engine, other, query) == []


def _endpoint(engine: Engine, platform_id: UUID) -> UUID:
    """An endpoint to which nothing is sent but what the test says."""
    with transaction(engine, platform_id) as connection:
        row, _secret = endpoints.create(
            connection,
            Sealer("the secret of a test instance, long enough"),
            platform_id,
            url="https://example.org/hook",
            events=("payout.failed",),
            description="",
            secret=None,
            now=REAL,
        )
    endpoint_id: UUID = row["id"]
    return endpoint_id


def _delivery(
    engine: Engine, platform_id: UUID, endpoint: UUID, state: str, ended_at: datetime | None
) -> UUID:
    """A delivery of an event that happened just now, and one attempt."""
    with transaction(engine, platform_id) as connection:
        outbox.append(connection, platform_id, [outbox.NewEvent("payee.ready", {})], REAL)
        values = {"p": platform_id, "w": endpoint, "state": state, "at": REAL, "ended_at": ended_at}
        event_id: UUID = connection.execute(
            text(
                "INSERT INTO service.webhook_delivery (platform_id, endpoint_id, event_id, type, "
                "state, created_at, ended_at) "
                "SELECT :p, :w, max(id::text)::uuid, 'payee.ready', :state, :at, "
                "CAST(:ended_at AS timestamptz) FROM service.event WHERE platform_id = :p "
                "RETURNING event_id"
            ),
            values,
        ).scalar_one()
        connection.execute(
            text(
                "INSERT INTO service.webhook_attempt (platform_id, endpoint_id, event_id, number, "
                "at, status, duration_ms) VALUES (:p, :w, :event, 1, :at, 200, 3)"
            ),
            {**values, "event": event_id},
        )
    return event_id


def test_the_delivery_log_goes_thirty_days_after_its_end_and_what_waits_stays(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    platform_id = new_platform()
    endpoint, other = _endpoint(engine, platform_id), _endpoint(engine, platform_id)
    for state in ("delivered", "failed", "canceled"):
        _delivery(engine, platform_id, endpoint, state, REAL + DAY)
    _delivery(engine, platform_id, other, "delivered", REAL + DAY)
    kept = [
        # Replayed meanwhile, or given up late.
        _delivery(engine, platform_id, endpoint, "delivered", REAL + DAY + MOMENT),
        _delivery(engine, platform_id, endpoint, "waiting", None),
    ]
    deliveries = "SELECT event_id FROM service.webhook_delivery ORDER BY event_id"
    attempts = "SELECT event_id FROM service.webhook_attempt ORDER BY event_id"
    retention.forget(engine, REAL + 31 * DAY - MOMENT)
    assert len(_all(engine, platform_id, deliveries)) == 6
    retention.forget(engine, REAL + 31 * DAY)
    assert _all(engine, platform_id, deliveries) == kept
    assert _all(engine, platform_id, attempts) == kept
    assert len(_all(engine, platform_id, "SELECT id FROM service.event")) == 6


def test_no_platform_deletes_of_the_delivery_log_and_nobody_what_waits(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    platform_id = new_platform()
    endpoint = _endpoint(engine, platform_id)
    _delivery(engine, platform_id, endpoint, "waiting", None)
    tries: tuple[tuple[Scope, str, type], ...] = (
        (platform_id, "webhook_delivery", InsufficientPrivilege),
        (platform_id, "webhook_attempt", InsufficientPrivilege),
        (SYSTEM, "webhook_attempt", InsufficientPrivilege),
        (SYSTEM, "webhook_delivery", RestrictViolation),
    )
    for scope, table, wanted in tries:
        query = text(f"DELETE FROM service.{table} WHERE platform_id = :p")
        with pytest.raises(DBAPIError) as caught, transaction(engine, scope) as connection:
            connection.execute(query, {"p": platform_id})
        assert isinstance(caught.value.orig, wanted), table


@pytest.fixture
def street(engine: Engine, platform_id: UUID) -> Street:
    """Two members who were told of a proposal, by the mailbox."""
    street = Street(engine, platform_id, Channels(PUBLIC))
    street.sale()
    street.tell()
    assert street.messages()
    return street


def test_what_was_written_to_a_member_goes_after_half_a_year_and_that_it_was_stays(
    street: Street,
) -> None:
    engine, platform_id = street.engine, street.platform_id
    texts = "SELECT message_id FROM service.message_text ORDER BY message_id"
    told = street.messages()
    written = _all(engine, platform_id, texts)
    assert len(written) >= 2
    first = written[0]
    # The first was sent again a day later, and the last is being sent at this moment.
    sent = "UPDATE service.message SET sent_at = :at WHERE platform_id = :p AND state = 'sent'"
    _run(engine, platform_id, sent, at=REAL)
    _run(engine, platform_id, f"{sent} AND id = :id", at=REAL + DAY, id=first)
    again = "UPDATE service.message SET state = 'sending', due_at = :at WHERE id = :id"
    _run(engine, platform_id, again, at=REAL, id=written[-1])
    retention.forget(engine, REAL + 179 * DAY)
    assert _all(engine, platform_id, texts) == written
    retention.forget(engine, REAL + 180 * DAY + timedelta(hours=1))
    assert _all(engine, platform_id, texts) == [first, written[-1]]
    assert [row["id"] for row in street.messages()] == [row["id"] for row in told]


def test_a_link_goes_thirty_days_after_it_ended_in_its_platform_s_time(street: Street) -> None:
    engine, platform_id = street.engine, street.platform_id
    links = "SELECT id FROM service.link ORDER BY id"
    expired, revoked = _all(engine, platform_id, links)[:2]
    late = (
        "UPDATE service.link SET created_at = :made, revoked_at = NULL, expires_at = :at "
        "WHERE platform_id = :p"
    )
    _run(engine, platform_id, late, made=REAL - DAY, at=REAL + 300 * DAY)
    _run(engine, platform_id, f"{late} AND id = :id", made=REAL - DAY, at=REAL + DAY, id=expired)
    ended = "UPDATE service.link SET revoked_at = :at WHERE platform_id = :p AND id = :id"
    _run(engine, platform_id, ended, at=REAL + 2 * DAY, id=revoked)
    before = _all(engine, platform_id, links)
    retention.forget(engine, REAL + 31 * DAY - MOMENT)
    assert _all(engine, platform_id, links) == before
    retention.forget(engine, REAL + 31 * DAY + MOMENT)
    assert _all(engine, platform_id, links) == [one for one in before if one != expired]
    # A clock that is ten days ahead: there, the other ended ten days earlier.
    ahead = "INSERT INTO service.platform_clock (platform_id, ahead) VALUES (:p, '10 days')"
    _run(engine, platform_id, ahead)
    retention.forget(engine, REAL + 31 * DAY + MOMENT)
    assert _all(engine, platform_id, links) == [
        one for one in before if one not in (expired, revoked)
    ]


def test_who_a_helper_was_goes_a_year_after_the_help_ended_and_that_there_was_one_stays(
    street: Street,
) -> None:
    gone, kept = REAL - 365 * DAY, REAL - 365 * DAY + MOMENT
    for ended_at in (gone, kept, None):
        _run(
            street.engine,
            street.platform_id,
            "WITH h AS (INSERT INTO service.helper (platform_id, id, member_id, may, named_by, "
            "named_at, ends_at, ended_at, ended_by) VALUES (:p, :id, :member, ARRAY['look'], "
            "'member', :named_at, :ends_at, :ended_at, :by) RETURNING id) "
            "INSERT INTO service.helper_person (platform_id, helper_id, name, email, locale) "
            "SELECT :p, id, 'Maud', 'maud@example.org', 'fr' FROM h",
            id=least_uuid7(REAL - 400 * DAY + (DAY if ended_at is None else ended_at - gone)),
            member=street.payer,
            named_at=REAL - 300 * DAY if ended_at is None else REAL - 400 * DAY,
            ends_at=REAL + DAY if ended_at is None else REAL - 300 * DAY,
            ended_at=ended_at,
            by=None if ended_at is None else "member",
        )
    retention.forget(street.engine, REAL)
    left = "SELECT h.ended_at FROM service.helper h JOIN service.helper_person p ON "
    query = f"{left}p.helper_id = h.id WHERE h.platform_id = :p ORDER BY h.ended_at"
    assert _all(street.engine, street.platform_id, query) == [kept, None]
    query = "SELECT count(*) FROM service.helper WHERE platform_id = :p"
    assert _all(street.engine, street.platform_id, query) == [3]


def test_moves_of_a_clock_go_thirty_days_after_they_were_asked_for(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    platform_id = new_platform()
    move = (
        "INSERT INTO service.clock_advance (platform_id, id, since, target, from_tx) "
        "VALUES (:p, :id, :at, :at + interval '1 day', pg_current_xact_id())"
    )
    for days in range(5):
        _run(engine, platform_id, move, id=least_uuid7(REAL + days * DAY), at=REAL)
    moves = "SELECT id FROM service.clock_advance ORDER BY id"
    retention.forget(engine, REAL + 33 * DAY)
    assert _all(engine, platform_id, moves) == [
        least_uuid7(REAL + 3 * DAY),
        least_uuid7(REAL + 4 * DAY),
    ]


def test_a_provider_s_event_goes_ninety_days_after_it_was_followed_up(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    platform_id = new_platform()
    event = (
        "INSERT INTO service.provider_event (platform_id, provider, event_id, kind, object_ref, "
        "received_at, applied_at, try_at) VALUES (:p, 'sandbox', :id, 'payment', 'x', :real, "
        "CAST(:at AS timestamptz), CASE WHEN CAST(:at AS timestamptz) IS NULL THEN :real END)"
    )
    for name, at in (("a", REAL), ("b", REAL), ("c", REAL), ("d", REAL + DAY), ("open", None)):
        _run(engine, platform_id, event, id=name, at=at, real=REAL)
    events = "SELECT event_id FROM service.provider_event ORDER BY event_id"
    retention.forget(engine, REAL + 90 * DAY - MOMENT)
    assert len(_all(engine, platform_id, events)) == 5
    retention.forget(engine, REAL + 90 * DAY)
    assert _all(engine, platform_id, events) == ["d", "open"]


def test_what_somebody_else_holds_is_left_for_the_next_round(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    platform_id = new_platform()
    for number in range(3):
        _answer(engine, platform_id, f"old-{number}", REAL)
    query = "SELECT key FROM service.idempotency ORDER BY key"
    with transaction(engine, platform_id) as holder:
        holder.execute(text("SELECT FROM service.idempotency WHERE key = 'old-1' FOR UPDATE"))
        retention.forget(engine, REAL)
        assert _all(engine, platform_id, query) == ["old-1"]
    retention.forget(engine, REAL)
    assert _all(engine, platform_id, query) == []


def test_the_least_id_of_an_instant_parts_what_was_made_before_from_what_came_after() -> None:
    one = uuid7()
    made = datetime.fromtimestamp((one.int >> 80) / 1000, UTC)
    assert least_uuid7(made) <= one < least_uuid7(made + timedelta(milliseconds=1))
    assert least_uuid7(made).version == 7
