"""Endpoints that ask for rest, fail for days or are gone; disabled, enabled, replayed, rotated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final
from uuid import UUID

import pytest
from pydantic import SecretStr

from service import db
from service.events import endpoints, ladder, notices, replays, signing
from service.events.tables import webhook_endpoint
from service.ids import decode, encode
from service.sealing import Sealer
from tests.events.conftest import SEALER, Post
from tests.events.sink import OK, Reply

DOWN: Final = Reply(500)
DAY: Final = timedelta(days=1)


@pytest.mark.parametrize("status", [429, 502, 504])
def test_an_endpoint_that_asks_for_rest_gets_nothing_until_it_is_over(
    post: Post, status: int
) -> None:
    endpoint = post.endpoint()
    post.sink.reply("/hook", Reply(status, (("retry-after", "600"),)), OK)
    for _ in range(3):
        post.happen()
    now = post.now()
    post.run(now, each=1)
    held_until = post.read(endpoint)["held_until"]
    assert held_until >= now + timedelta(minutes=10)
    post.happen()
    post.run(now + timedelta(minutes=9))
    assert len(post.sink.of()) == 1, "not even what was never tried"
    assert {row["next_at"] for row in post.deliveries()[1:]} == {held_until}
    post.run(held_until + timedelta(seconds=1))
    assert post.states() == ["delivered"] * 4


def test_a_throttled_endpoint_that_names_no_time_rests_for_a_moment(post: Post) -> None:
    endpoint = post.endpoint()
    post.sink.reply("/hook", Reply(429))
    post.happen()
    now = post.now()
    post.run(now)
    assert post.read(endpoint)["held_until"] >= now + ladder.REST


def test_retry_after_of_another_refusal_holds_that_one_event_back(post: Post) -> None:
    endpoint = post.endpoint()
    post.sink.reply("/hook", Reply(503, (("retry-after", "3600"),)), OK)
    post.happen()
    now = post.now()
    post.run(now)
    assert post.read(endpoint)["held_until"] is None
    post.happen()
    post.run(now + timedelta(minutes=50))
    assert post.states() == ["waiting", "delivered"]
    post.run(now + timedelta(minutes=61))
    assert post.states() == ["delivered", "delivered"]


def test_an_endpoint_that_is_gone_is_disabled_at_once_and_its_platform_told(post: Post) -> None:
    gone, other = post.endpoint("/gone"), post.endpoint("/other", "webhook_endpoint.*")
    post.sink.reply("/gone", Reply(410))
    post.happen()
    post.run()
    row = post.read(gone)
    assert (row["enabled_at"], row["disabled_reason"]) == (None, "gone")
    assert post.states(gone) == ["waiting"]
    post.run()
    (told,) = post.sink.of("/other")
    assert (told.type, told.payload["data"]["reason"]) == ("webhook_endpoint.disabled", "gone")
    assert told.payload["data"]["endpoint"] == encode("webhook_endpoint", gone)
    assert post.states(other) == ["delivered"]


def test_an_endpoint_that_fails_is_warned_of_after_a_day_and_disabled_after_three(
    post: Post,
) -> None:
    endpoint = post.endpoint()
    post.sink.reply("/hook", DOWN)
    start = post.now()
    for hours in range(0, 72, 6):
        post.happen()
        post.run(start + timedelta(hours=hours))
    (warning,) = post.events("webhook_endpoint.failing")
    why = "answered 500; only 200 to 299 say that the message was taken"
    assert warning["data"]["error"] == why
    assert post.read(endpoint)["enabled_at"] is not None
    post.happen()
    post.run(start + notices.DISABLE_AFTER + timedelta(minutes=1))
    row = post.read(endpoint)
    assert (row["enabled_at"], row["disabled_reason"]) == (None, "failing")
    (disabled,) = post.events("webhook_endpoint.disabled")
    assert (disabled["data"]["reason"], disabled["data"]["error"]) == ("failing", why)
    assert len(post.events("webhook_endpoint.failing")) == 1
    tried = len(post.sink.of())
    post.run(start + 10 * DAY)
    assert len(post.sink.of()) == tried


def test_nobody_is_disabled_who_was_not_warned_a_day_before(post: Post) -> None:
    """The days that no worker was there are not the endpoint's."""
    endpoint = post.endpoint()
    post.sink.reply("/hook", DOWN)
    start = post.now()
    post.happen()
    post.run(start)
    back = start + notices.DISABLE_AFTER + DAY
    post.run(back)
    row = post.read(endpoint)
    assert row["enabled_at"] is not None
    (warning,) = post.events("webhook_endpoint.failing")
    ends_at = datetime.fromisoformat(warning["data"]["disabled_at"])
    assert ends_at == row["warned_at"] + DAY
    post.happen()
    post.run(ends_at - timedelta(minutes=10))
    assert post.read(endpoint)["enabled_at"] is not None
    post.happen()
    post.run(ends_at)
    assert post.read(endpoint)["disabled_reason"] == "failing"


def test_one_success_makes_an_endpoint_well(post: Post) -> None:
    endpoint = post.endpoint()
    start = post.now()
    post.sink.reply("/hook", DOWN)
    post.happen()
    post.run(start)
    post.sink.reply("/hook", OK)
    post.happen()
    post.run(start + timedelta(days=2))
    assert post.read(endpoint)["failing_since"] is None
    post.sink.reply("/hook", DOWN)
    post.happen()
    post.run(start + timedelta(days=4))
    assert post.events("webhook_endpoint.failing") == []
    assert post.read(endpoint)["enabled_at"] is not None


def test_enabled_again_an_endpoint_gets_what_waited_in_order(post: Post) -> None:
    endpoint = post.endpoint()
    events = post.exchange(3)
    post.fan_out()
    post.change(endpoint, enabled=False)
    assert post.run() == 0
    assert [row["next_at"] for row in post.deliveries()] == [None] * 3
    while_disabled = post.happen("payee.ready")
    post.fan_out()
    post.change(endpoint, enabled=True)
    after = post.happen("payee.disabled")
    post.run()
    taken = [one.event for one in post.sink.taken()]
    assert [one for one in taken if one in events] == events
    assert after in taken
    assert while_disabled not in taken


def test_what_happened_while_an_endpoint_was_disabled_can_be_replayed(post: Post) -> None:
    endpoint = post.endpoint("/hook", "payee.*")
    post.change(endpoint, enabled=False)
    since = post.now()
    wanted = [post.happen("payee.ready"), post.happen("payee.disabled")]
    post.happen("payout.failed")
    post.fan_out()
    post.change(endpoint, enabled=True)
    assert _replay(post, endpoint, since) == 2
    post.run()
    assert {one.event for one in post.sink.taken()} == set(wanted)
    assert _replay(post, endpoint, since, types=["payee.ready"]) == 1
    assert _replay(post, endpoint, since, only_failed=True) == 0
    with pytest.raises(replays.ReplayRangeInvalid):
        _replay(post, endpoint, since, until=since)
    post.run()
    assert [one.event for one in post.sink.taken()].count(wanted[0]) == 2
    assert post.deliveries()[0]["replays"] == 1


def test_a_replay_of_failures_sends_those_alone(post: Post) -> None:
    endpoint = post.endpoint()
    since = post.now()
    bad, good = post.happen(), post.happen()
    post.sink.script("/hook", lambda event, _number: DOWN if event == bad else OK)
    now = post.now()
    for _ in ladder.LADDER:
        post.happen()
        post.run(now)
        now = max(row["next_at"] or now for row in post.deliveries())
    post.sink.reply("/hook", OK)
    assert _replay(post, endpoint, since, only_failed=True) == 1
    post.run(now)
    taken = [one.event for one in post.sink.taken()]
    assert (taken.count(bad), taken.count(good)) == (1, 1)


def test_a_replay_that_is_too_large_sends_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = post.endpoint()
    since = post.now()
    for _ in range(3):
        post.happen()
    post.run()
    monkeypatch.setattr(replays, "MOST", 2)
    with pytest.raises(replays.ReplayTooLarge):
        _replay(post, endpoint, since)
    assert post.states() == ["delivered"] * 3


def test_nothing_is_replayed_to_a_disabled_endpoint(post: Post) -> None:
    endpoint = post.endpoint()
    event = post.happen()
    post.run()
    post.change(endpoint, enabled=False)
    with pytest.raises(replays.EndpointDisabled):
        _replay(post, endpoint, post.now())
    row = post.read(endpoint)
    with (
        db.transaction(post.engine, post.platform_id) as connection,
        pytest.raises(replays.EndpointDisabled),
    ):
        replays.replay(connection, row, decode("event", event), post.now())


def test_a_deleted_endpoint_gets_nothing_and_keeps_no_secret(post: Post) -> None:
    endpoint = post.endpoint()
    post.happen()
    post.fan_out()
    with db.transaction(post.engine, post.platform_id) as connection:
        endpoints.delete(connection, post.platform_id, endpoint, post.now())
    post.happen()
    assert post.run() == 0
    assert post.states() == ["canceled"]
    with pytest.raises(endpoints.EndpointNotFound):
        post.read(endpoint)


def test_while_a_secret_is_rotated_both_sign_and_then_the_new_one_alone(post: Post) -> None:
    endpoint = post.endpoint()
    old = post.secrets[endpoint]
    now = post.now()
    new = _rotate(post, endpoint, timedelta(hours=2), now)
    post.happen()
    post.run(now + timedelta(hours=1))
    post.happen()
    post.run(now + timedelta(hours=3))
    during, after = post.sink.of()
    assert (during.is_signed_by(old), during.is_signed_by(new)) == (True, True)
    assert (after.is_signed_by(old), after.is_signed_by(new)) == (False, True)
    assert (len(during.signatures), len(after.signatures)) == (2, 1)


def test_a_secret_rotated_without_overlap_ends_at_once(post: Post) -> None:
    endpoint = post.endpoint()
    old = post.secrets[endpoint]
    new = _rotate(post, endpoint, timedelta(0), post.now())
    post.happen()
    post.run()
    (arrival,) = post.sink.of()
    arrival.verify(new)
    assert not arrival.is_signed_by(old)


def test_a_secret_that_does_not_open_is_an_attempt_that_failed_until_it_is_rotated(
    post: Post,
) -> None:
    endpoint = post.endpoint()
    post.happen()
    now = post.now()
    with db.transaction(post.engine, post.platform_id) as connection:
        other = Sealer("another instance's secret, long enough too")
        sealed = signing.seal(other, post.platform_id, endpoint, [signing.Secret("whsec_x")])
        connection.execute(
            webhook_endpoint.update()
            .where(webhook_endpoint.c.id == endpoint)
            .values(secrets_sealed=sealed)
        )
    post.run(now)
    assert "TIERCE_CODE_KEY" in post.attempts()[0]["error"]
    new = _rotate(post, endpoint, timedelta(0), now)
    post.run(now + timedelta(minutes=1))
    assert post.sink.of()[0].is_signed_by(new)


@pytest.mark.parametrize("seconds", [30, 300])
def test_retry_after_is_read_as_seconds_and_as_a_date(seconds: int) -> None:
    now = datetime(2027, 3, 1, 9, tzinfo=UTC)
    at = now + timedelta(seconds=seconds)
    assert ladder.retry_after(str(seconds), now) == at
    assert ladder.retry_after(format_datetime(at, usegmt=True), now) == at


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "-5",
        "",
        "1.5",
        "Mon, 99 Foo 2027",
        f"Mon, 01 Jan {'9' * 23} 00:00:00 GMT",
        "Mon, 01 Jan 7776222020 00:00:00 GMT",
        f"Mon, 01 Jan 2020 {'9' * 22}:00:00 GMT",
        f"Mon, 01 Jan 2020 00:00:00 +{'9' * 22}",
    ],
)
def test_a_retry_after_that_nobody_can_read_is_none(value: str) -> None:
    assert ladder.retry_after(value, datetime(2027, 3, 1, 9, tzinfo=UTC)) is None


def test_nobody_is_made_to_wait_longer_than_a_day() -> None:
    now = datetime(2027, 3, 1, 9, tzinfo=UTC)
    assert ladder.retry_after("9" * 30, now) == now + DAY
    assert ladder.retry_after("Fri, 01 Jan 2100 00:00:00 GMT", now) == now + DAY
    assert ladder.retry_after("Fri, 01 Jan 1999 00:00:00 GMT", now) == now


def test_the_ladder_is_the_published_one() -> None:
    now = datetime(2027, 3, 1, 9, tzinfo=UTC)
    waits = []
    at: datetime | None = now
    for failures in range(1, len(ladder.LADDER) + 1):
        before = at
        assert before is not None
        at = ladder.next_at(failures, before, jitter=0)
        if at is not None:
            waits.append((at - before).total_seconds())
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert at is None
    longest = ladder.next_at(2, now, jitter=1)
    assert longest == now + timedelta(minutes=5) * (1 + ladder.JITTER)
    wanted = now + timedelta(hours=1)
    assert ladder.next_at(2, now, wanted) == wanted


def _replay(
    post: Post,
    endpoint_id: UUID,
    since: datetime,
    *,
    until: datetime | None = None,
    types: list[str] | None = None,
    only_failed: bool = False,
) -> int:
    with db.transaction(post.engine, post.platform_id) as connection:
        row = endpoints.find(connection, post.platform_id, endpoint_id, lock=True)
        return replays.replay_range(
            connection,
            row,
            since=since,
            until=until,
            types=types,
            only_failed=only_failed,
            now=post.now(),
        )


def _rotate(post: Post, endpoint_id: UUID, overlap: timedelta, now: datetime) -> str:
    with db.transaction(post.engine, post.platform_id) as connection:
        _row, secret = endpoints.rotate(
            connection,
            SEALER,
            post.platform_id,
            endpoint_id,
            secret=None,
            overlap=overlap,
            now=now,
        )
    assert SecretStr(secret) != SecretStr(post.secrets[endpoint_id])
    return secret
