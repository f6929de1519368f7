"""A sandbox's clock: what is due happens in order, alike every time, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from service import clock, db
from service.config import Settings
from service.db import SYSTEM, transaction
from service.exchanges.desk import Desk, make_desk
from service.platforms import clocks, keys, platforms
from service.platforms.scopes import SCOPES
from service.sandbox import passing
from tests.http.client import Api, Server, at_once, problem
from tests.sandbox.stage import Stage


@pytest.fixture
def desk(engine: Engine, app_settings: Settings) -> Desk:
    """Return what the worker works with."""
    assert app_settings.code_key is not None
    return make_desk(engine, app_settings.code_key.get_secret_value(), clock.now)


def _play(stage: Stage) -> datetime:
    """Set a stage with something for everybody to do; return when it began: at a noon."""
    tomorrow = clock.now().astimezone(UTC) + timedelta(days=2)
    began = tomorrow.replace(hour=12, minute=0, second=0, microsecond=0)
    stage.api.made("/v1/sandbox/clock/advance", {"to": began.isoformat()})
    cooperating, silent, quarrelling, late = (stage.propose() for _ in range(4))
    stage.script(cooperating, "payer", "cooperates", "P1D")
    stage.script(cooperating, "payee", "confirms_after", "P2D")
    stage.script(silent, "payer", "agrees")
    for name, after in (("agrees", "PT1H"), ("pays", "PT1H"), ("disputes", "P5D")):
        stage.script(quarrelling, "payer", name, after)
    stage.script(late, "payer", "agrees")
    stage.script(late, "payer", "pays_late")
    return began


def _history(stage: Stage) -> list[tuple[str, int | None]]:
    """Return every event with its exchange's ordering number, oldest first."""
    found: list[tuple[str, int | None]] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"order": "asc", "limit": 100}
        if cursor is not None:
            query["cursor"] = cursor
        page = stage.api.read("/v1/events", **query)
        found += [(event["type"], event["sequence"]) for event in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _told(fired: list[dict[str, Any]], began: datetime) -> list[tuple[str, timedelta]]:
    """Return what happened how long after the beginning."""
    return [(one["type"], datetime.fromisoformat(one["at"]) - began) for one in fired]


def _assert_alike(one: list[tuple[str, timedelta]], other: list[tuple[str, timedelta]]) -> None:
    """Insist on the same order at the same instants, but for the moments our requests take."""
    assert [type_ for type_, _ in one] == [type_ for type_, _ in other]
    for (type_, first), (_, second) in zip(one, other, strict=True):
        assert abs(first - second) < timedelta(minutes=2), type_


@pytest.mark.timeout(600)
def test_the_same_scripts_and_moves_give_the_same_history(
    new_stage: Callable[[], Stage],
) -> None:
    """Types, order and instants, on two sandboxes that know nothing of each other."""
    told = []
    for _ in range(2):
        stage = new_stage()
        began = _play(stage)
        fired = stage.advance("P40D")["fired"]
        told.append(_told(fired, began))
    _assert_alike(*told)
    assert len(told[0]) > 20


@pytest.mark.timeout(600)
def test_ninety_moves_of_a_day_give_what_one_of_ninety_days_gives(
    new_stage: Callable[[], Stage],
) -> None:
    """However the way is cut up, the same happens at the same instants."""
    whole, cut = new_stage(), new_stage()
    told = []
    for stage, moves in ((whole, ["P90D"]), (cut, ["P1D"] * 90)):
        began = _play(stage)
        fired = [event for by in moves for event in stage.advance(by)["fired"]]
        told.append(_told(fired, began))
    _assert_alike(*told)


def test_what_fired_is_told_in_order_and_completely(stage: Stage) -> None:
    """The answer, the list of events that it names, and the instants all agree."""
    _play(stage)
    answer = stage.advance("P20D")
    instants = [event["at"] for event in answer["fired"]]
    assert instants == sorted(instants)
    path = answer["events"].split("?", 1)
    listed = stage.api.send("GET", f"{path[0]}?{path[1]}&limit=100").json()["data"]
    assert [event["id"] for event in listed] == [event["id"] for event in answer["fired"]]
    for exchange in {event["exchange"] for event in answer["fired"] if event["exchange"]}:
        own = [event["sequence"] for event in answer["fired"] if event["exchange"] == exchange]
        assert own == list(range(own[0], own[0] + len(own)))


def test_every_deadline_fires_at_its_instant(stage: Stage) -> None:
    """Not when the clock was moved, and not at the end of the way."""
    one = stage.propose()
    due = next(line for line in one["deadlines"] if line["name"] == "agree_by")
    fired = stage.advance("P60D")["fired"]
    (expired,) = [event for event in fired if event["type"] == "exchange.expired"]
    assert expired["at"] == due["due_at"]


def test_the_clock_stands_where_it_was_moved_to_and_runs_on(stage: Stage) -> None:
    """To an instant, or by a length of time; what is made then is of then."""
    before = stage.now()
    to = before + timedelta(days=3)
    answer = stage.api.made("/v1/sandbox/clock/advance", {"to": to.isoformat()})
    assert datetime.fromisoformat(answer["now"]) == to
    assert answer["stopped_at"] is None
    assert timedelta() <= stage.now() - to < timedelta(minutes=1)
    made = stage.propose()
    assert datetime.fromisoformat(made["proposed_at"]) >= to
    assert stage.api.read("/v1/sandbox/clock")["ahead"].startswith("P2DT23H")


def test_keys_and_tokens_end_in_real_time(stage: Stage) -> None:
    """A member's token made before works after; a retried request is still the same one."""
    one = stage.propose()
    member = stage.api.acting(one["payer"])
    first = stage.api.post("/v1/members", {"external_id": "same"}, key="the-same-key")
    stage.advance("P60D")
    assert member.get(f"/v1/exchanges/{one['id']}").status_code == 200
    again = stage.api.post("/v1/members", {"external_id": "same"}, key="the-same-key")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    made = stage.api.made("/v1/api-keys", {"label": "later", "scopes": ["sandbox:read"]})
    assert abs(datetime.fromisoformat(made["created_at"]) - clock.now()) < timedelta(minutes=1)


def test_a_repeated_request_moves_the_clock_once(stage: Stage) -> None:
    """The same key gives the same answer."""
    first = stage.api.post("/v1/sandbox/clock/advance", {"by": "P1D"}, key="once-only")
    again = stage.api.post("/v1/sandbox/clock/advance", {"by": "P1D"}, key="once-only")
    assert again.json() == first.json()
    assert stage.now() < datetime.fromisoformat(first.json()["now"]) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"by": "PT0S"}, 422, "clock_cannot_go_back"),
        ({"to": "2020-01-01T00:00:00Z"}, 422, "clock_cannot_go_back"),
        ({"by": "P401D"}, 422, "too_far_ahead"),
        ({"to": "2199-01-01T00:00:00Z"}, 422, "too_far_ahead"),
        ({"by": "-P1D"}, 422, "invalid_request"),
        ({"by": "P1M"}, 422, "invalid_request"),
        ({"by": "P"}, 422, "invalid_request"),
        ({"by": "P1DT"}, 422, "invalid_request"),
        ({"by": 3600}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
        ({"by": "P1D", "to": "2199-01-01T00:00:00Z"}, 422, "invalid_request"),
        ({"by": "P1D", "until": "now"}, 422, "invalid_request"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(
    stage: Stage, body: dict[str, Any], status: int, code: str
) -> None:
    """With a reason; the clock stays."""
    problem(stage.api.post("/v1/sandbox/clock/advance", body), status, code)
    assert stage.api.read("/v1/sandbox/clock")["ahead"] == "PT0S"


@pytest.mark.parametrize(
    ("given", "what_to_send"),
    [("-P1D", "without one, such as 'P1D'"), ("P-1D", "'P1D'"), ("P1M", "days, such as 'P30D'")],
)
def test_a_length_of_time_that_is_none_is_refused_with_what_to_send(
    stage: Stage, given: str, what_to_send: str
) -> None:
    answer = stage.api.post("/v1/sandbox/clock/advance", {"by": given})
    (error,) = problem(answer, 422, "invalid_request")["errors"]
    assert error["pointer"] == "/by"
    assert what_to_send in error["detail"]


def test_a_live_platform_has_no_clock_and_no_scripts(
    server: Server, engine: Engine, stage: Stage
) -> None:
    """Not over HTTP, and not in the database either."""
    with transaction(engine, SYSTEM) as connection:
        live, _sandbox = platforms.create(connection, "A live one", clock.now())
        _key, secret = keys.create(connection, live.id, "live", "A test", SCOPES, clock.now())
    api = Api(server, secret)
    problem(api.post("/v1/sandbox/clock/advance", {"by": "P1D"}), 409, "live_time_is_real")
    problem(api.get("/v1/sandbox/clock"), 409, "live_time_is_real")
    problem(api.get("/v1/sandbox/scripts"), 409, "live_time_is_real")
    body = {"member": api.member()["id"], "script": "agrees"}
    problem(api.post("/v1/sandbox/scripts", body), 409, "live_time_is_real")
    with pytest.raises(DBAPIError), transaction(engine, live.id) as connection:
        clocks.stand(connection, live.id, clock.now(), clock.now() + timedelta(days=1))


def test_the_database_refuses_a_clock_that_goes_back(stage: Stage, engine: Engine) -> None:
    """Whoever asks."""
    stage.advance("P2D")
    with pytest.raises(DBAPIError), transaction(engine, stage.platform_id) as connection:
        connection.exec_driver_sql("UPDATE service.platform_clock SET ahead = '1 day'")


@pytest.mark.timeout(600)
def test_another_platform_does_not_feel_it(
    stage: Stage, new_stage: Callable[[], Stage], desk: Desk
) -> None:
    """Its deadlines, payments and scripts stay where they are, whoever works on all of them."""
    _play(stage)
    moved, still = new_stage(), new_stage()
    _play(moved)
    exchange = still.propose()
    script = still.script(exchange, "payer", "cooperates")
    passing.work(desk, clock.now)  # until then, the scripted members have not looked
    before = [_history(one) for one in (moved, still)]
    ahead = moved.api.read("/v1/sandbox/clock")["ahead"]
    stage.advance("P30D")
    passing.work(desk, clock.now)
    assert [_history(one) for one in (moved, still)] == before
    assert moved.api.read("/v1/sandbox/clock")["ahead"] == ahead
    assert still.api.read("/v1/sandbox/clock")["ahead"] == "PT0S"
    part = still.read_script(script)["parts"][0]
    assert (part["done"], part["next"]["do"]) == ([], "agree")


def test_two_moves_at_once_of_one_clock_are_one_too_many(stage: Stage, engine: Engine) -> None:
    """The second is told to wait; others' clocks are free."""
    with db.alone(engine, f"advance:{stage.platform_id}") as mine:
        assert mine
        answer = stage.api.post("/v1/sandbox/clock/advance", {"by": "P1D"}, key="meanwhile")
        problem(answer, 409, "clock_is_moving")
    done = stage.api.post("/v1/sandbox/clock/advance", {"by": "P1D"}, key="meanwhile")
    assert done.status_code == 200


def test_moves_that_race_leave_one_history(stage: Stage) -> None:
    """Each happens whole, or is refused."""
    _play(stage)
    start = stage.now()
    answers = at_once(
        *[lambda: stage.api.post("/v1/sandbox/clock/advance", {"by": "P2D"}) for _ in range(3)]
    )
    moved = [one for one in answers if one.status_code == 200]
    assert moved
    for refused in answers:
        if refused.status_code != 200:
            problem(refused, 409, "clock_is_moving")
    assert stage.now() >= start + timedelta(days=2)


@pytest.mark.timeout(600)
def test_the_worker_may_run_all_the_while(
    stage: Stage, new_stage: Callable[[], Stage], desk: Desk
) -> None:
    """What happens, and when, is the same as without it; nothing happens twice."""
    told = []
    for worked in (False, True):
        one = new_stage()
        began = _play(one)
        moving = True

        def work() -> None:
            while moving:  # noqa: B023 - ends with this round
                passing.work(desk, clock.now)

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work) if worked else None
            fired = one.advance("P15D")["fired"]
            moving = False
            if working is not None:
                working.result(60)
        told.append(_told(fired, began))
    _assert_alike(*told)


def test_a_moved_platform_is_worked_on_in_its_own_time(stage: Stage, desk: Desk) -> None:
    """After the move, what a request sets off is done by the worker, then and there."""
    stage.advance("P30D")
    one = stage.propose(both_agreed=True)
    stage.api.made(
        f"/v1/exchanges/{one['id']}/fund",
        {"member": one["payer"], "payment_method": "pm_sandbox_ok"},
    )
    passing.work(desk, clock.now)
    found = stage.exchange(one)
    assert found["state"] == "active"
    assert datetime.fromisoformat(found["funded_at"]) > clock.now() + timedelta(days=29)


@pytest.mark.timeout(600)
def test_so_much_that_one_call_does_not_do_it_is_gone_on_with(
    new_stage: Callable[[], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says where the clock stopped; the next calls go on from there."""
    told = []
    for most in (2_000, 3):
        monkeypatch.setattr(passing, "MOST_INSTANTS", most)
        stage = new_stage()
        began = _play(stage)
        first = stage.api.made("/v1/sandbox/clock/advance", {"by": "P9D"})
        assert (first["stopped_at"] is None) == (first["now"] == first["target"]) == (most > 3)
        fired = first["fired"]
        while stage.now() < datetime.fromisoformat(first["target"]):
            body = {"to": first["target"]}
            fired += stage.api.made("/v1/sandbox/clock/advance", body)["fired"]
        told.append(_told(fired, began))
    _assert_alike(*told)


def test_days_are_reconciled_as_they_end(stage: Stage) -> None:
    """The sandbox provider's books of each day that passes agree with ours."""
    one = stage.propose()
    stage.script(one, "payer", "cooperates")
    stage.script(one, "payee", "confirms_after")
    stage.advance("P5D")
    runs = stage.api.read("/v1/reconciliation/runs")["data"]
    assert len(runs) >= 4
    assert all(run["finished_at"] is not None for run in runs)
    assert stage.api.read("/v1/reconciliation/differences", open="true")["data"] == []
