"""Requests in a lane: the same answers as alone, and no more statements for 50 than for one."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from starlette.responses import Response

from ledger import units
from service import clock, db
from service.exchanges.asking import call
from service.exchanges.commands import Command, Who
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.propose import Proposal
from service.exchanges.terms import Draft, LegDraft
from service.http import lanes
from service.http.auth import Actor
from service.http.idempotency import Call
from service.http.laned import Job
from service.http.routes.exchanges import PROPOSE
from service.http.routes.step_lanes import PAID, PAY, STEPS, Paying
from service.ids import decode
from service.platforms.scopes import SCOPES
from tests.counted import statements
from tests.http.client import Api, Server, at_once, problem
from tests.http.deal import Deal


def _job(server: Server, platform_id: UUID, command: Any, member: UUID | None = None) -> Job[Any]:
    actor = Actor(platform_id, "sandbox", frozenset(SCOPES), None, member)
    key = secrets.token_hex(16)
    call = Call(actor, key, hashlib.sha256(key.encode()).digest(), clock.now())
    return Job(server.app.state.edge, "req_test", actor, call, command)


def _do(
    engine: Engine,
    kind: lanes.Kind[Job[Any], Response | str],
    platform_id: UUID,
    jobs: list[Job[Any]],
) -> tuple[list[int], Counter[str]]:
    """Do a batch; return the statuses and the statements that it took."""
    with statements(engine) as seen, db.transaction(engine, platform_id) as connection:
        outcomes = kind.work(connection, platform_id, jobs)
    return [one.status_code for one in outcomes if isinstance(one, Response)], seen


def _proposal(payer: UUID, payee: UUID, number: int, unit: str) -> Proposal:
    leg = LegDraft(LegRole.PRICE, 1_000 + number, unit, "handover")
    draft = Draft(Kind.SALE, "A bicycle", (leg,), (), fee=FeeRule())
    return Proposal(payer, payee, Role.PAYEE, draft, f"of-{secrets.token_hex(8)}", both_agreed=True)


@pytest.fixture
def people(api: Api) -> list[tuple[UUID, UUID]]:
    """Return pairs of members."""
    ids = [decode("member", api.member()["id"]) for _ in range(6)]
    return list(zip(ids[:3], ids[3:], strict=True))


def _proposed(
    server: Server, engine: Engine, platform_id: UUID, people: list[tuple[UUID, UUID]], count: int
) -> Counter[str]:
    jobs = [
        _job(server, platform_id, _proposal(*people[number % len(people)], number, "EUR"))
        for number in range(count)
    ]
    statuses, seen = _do(engine, PROPOSE, platform_id, jobs)
    assert statuses == [201] * count
    return seen


def test_fifty_proposals_take_the_statements_of_one(
    server: Server, engine: Engine, platform_id: UUID, people: list[tuple[UUID, UUID]]
) -> None:
    _proposed(server, engine, platform_id, people, 1)
    one = _proposed(server, engine, platform_id, people, 1)
    fifty = _proposed(server, engine, platform_id, people, 50)
    assert fifty.total() == one.total()
    assert max(fifty.values()) == max(one.values())


def test_a_list_of_fifty_exchanges_takes_the_statements_of_a_list_of_one(
    server: Server, api: Api
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    body = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": payer,
        "payee": payee,
        "proposed_by": "payee",
        "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
    }

    def create(count: int) -> Counter[str]:
        with statements(server.app.state.edge.engine.sync_engine) as seen:
            made = api.made("/v1/exchanges/batch", {"exchanges": [body] * count})
        assert [one["status"] for one in made["outcomes"]] == [201] * count
        # The process may beat meanwhile, in a transaction of its own.
        beats = ("service.heartbeat", "INTO service.outage", "tierce.outage", "set_config")
        return Counter({what: n for what, n in seen.items() if not any(b in what for b in beats)})

    create(1)
    assert create(50) == create(1)


def test_fifty_confirmations_take_the_statements_of_one_also_when_they_release(
    server: Server, api: Api, engine: Engine, platform_id: UUID
) -> None:
    with db.transaction(engine, platform_id) as connection:
        units.define(connection, platform_id, "HOURS", "Hours", 2, 1_000_000)
    payer, payee = api.member()["id"], api.member()["id"]
    ids = [UUID(int=0)] * 51
    for number in range(51):
        made = api.made(
            "/v1/exchanges",
            {
                "kind": "help",
                "title": "An afternoon",
                "payer": payer,
                "payee": payee,
                "proposed_by": "payee",
                "both_agreed": True,
                "legs": [{"role": "price", "amount": {"amount": 10, "unit": "HOURS"}}],
            },
        )
        api.made(f"/v1/exchanges/{made['id']}/fund", {"member": payer})
        ids[number] = decode("exchange", made["id"])

    def confirm(member: str, which: list[UUID], *, alone: bool) -> Counter[str]:
        whose = decode("member", member)
        jobs = [
            _job(
                server,
                platform_id,
                Command(one, "confirm", Who(whose, "member"), checkpoint="done"),
                whose if alone else None,
            )
            for one in which
        ]
        statuses, seen = _do(engine, STEPS, platform_id, jobs)
        assert statuses == [200] * len(which)
        return seen

    for member in (payee, payer):
        one = confirm(member, ids[:1], alone=True)
        fifty = confirm(member, ids[1:], alone=True)
        assert fifty.total() == one.total()
    states = {api.read(f"/v1/exchanges/{made['id']}")["state"] for made in _all(api)}
    assert states == {"completed"}


def test_fifty_payments_are_asked_for_and_recorded_by_the_statements_of_one(
    server: Server, api: Api, engine: Engine, platform_id: UUID
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    body = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": payer,
        "payee": payee,
        "proposed_by": "payee",
        "both_agreed": True,
        "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
    }
    ids = [decode("exchange", api.made("/v1/exchanges", body)["id"]) for _ in range(52)]
    whose, desk = decode("member", payer), server.app.state.edge.desk

    def pay(which: list[UUID]) -> tuple[Counter[str], Counter[str]]:
        commands = [Paying(Command(one, "fund", Who(whose, "member"))) for one in which]
        jobs = [_job(server, platform_id, one, whose) for one in commands]
        statuses, asking = _do(engine, PAY, platform_id, jobs)
        assert statuses == [], "each goes on to the provider"
        said = [call(desk, one.ask) for one in commands if one.ask is not None]
        assert len(said) == len(which)
        concluding = [
            replace(job, command=replace(job.command, said=one))
            for job, one in zip(jobs, said, strict=True)
        ]
        statuses, recording = _do(engine, PAID, platform_id, concluding)
        assert statuses == [200] * len(which)
        return asking, recording

    pay(ids[:1])
    one, fifty = pay(ids[1:2]), pay(ids[2:])
    assert fifty == one
    assert {_paid(api, made["id"]) for made in _all(api)} == {("funding", "pending")}


def _paid(api: Api, exchange: str) -> tuple[str, str]:
    """Return the state of an exchange and of its one payment."""
    (payment,) = api.read(f"/v1/exchanges/{exchange}/payments")["data"]
    return api.read(f"/v1/exchanges/{exchange}")["state"], payment["state"]


def test_what_a_provider_answers_for_many_at_once_is_each_ones_own(
    api: Api,
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    body = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": payer,
        "payee": payee,
        "proposed_by": "payee",
        "both_agreed": True,
        "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
    }
    made = [api.made("/v1/exchanges", body)["id"] for _ in range(6)]
    methods = ["pm_sandbox_ok", "pm_sandbox_requires_action"] * 3
    answers = at_once(
        *(
            partial(
                api.post, f"/v1/exchanges/{one}/fund", {"member": payer, "payment_method": method}
            )
            for one, method in zip(made, methods, strict=True)
        )
    )
    assert [answer.status_code for answer in answers] == [200] * 6
    found = [_paid(api, one) for one in made]
    assert found == [("funding", "pending"), ("funding", "requires_action")] * 3


def _all(api: Api) -> list[dict[str, Any]]:
    return list(api.read("/v1/exchanges", limit=100)["data"])


def test_a_batch_with_good_and_bad_gives_each_its_own_answer(
    server: Server, engine: Engine, platform_id: UUID, people: list[tuple[UUID, UUID]], api: Api
) -> None:
    payer, payee = people[0]
    jobs = [
        _job(server, platform_id, _proposal(payer, payee, 1, "EUR")),
        _job(server, platform_id, _proposal(payer, payer, 2, "EUR")),
        _job(server, platform_id, _proposal(payer, payee, 3, "NONE")),
        _job(server, platform_id, _proposal(payer, payee, 4, "EUR")),
    ]
    with db.transaction(engine, platform_id) as connection:
        outcomes = PROPOSE.work(connection, platform_id, jobs)
    codes = [getattr(one, "code", None) for one in outcomes]
    assert codes[0] is codes[3] is None
    assert all(codes[1:3])
    assert len(_all(api)) == 2

    with db.transaction(engine, platform_id) as connection:
        again = PROPOSE.work(connection, platform_id, jobs)
    for at in (0, 3):
        first, second = outcomes[at], again[at]
        assert isinstance(first, Response)
        assert isinstance(second, Response)
        assert second.body == first.body
        assert second.headers["idempotent-replayed"] == "true"
    assert [getattr(one, "code", None) for one in again] == codes
    assert len(_all(api)) == 2


def test_many_at_once_over_http_are_all_answered_once_and_twins_get_one_answer(
    api: Api,
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    keys = [secrets.token_hex(16) for _ in range(12)]
    body = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": payer,
        "payee": payee,
        "proposed_by": "payee",
        "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
    }
    answers = at_once(*(partial(api.post, "/v1/exchanges", body, key=key) for key in keys * 2))
    assert {answer.status_code for answer in answers} == {201}
    for first, twin in zip(answers[:12], answers[12:], strict=True):
        assert first.content == twin.content
        replayed = [one for one in (first, twin) if "idempotent-replayed" in one.headers]
        assert len(replayed) == 1
    assert len(_all(api)) == 12


def test_both_confirm_at_once_and_it_is_met_once(paid: Deal) -> None:
    path = f"/v1/exchanges/{paid.exchange['id']}/confirm"
    point = paid.exchange["checkpoints"][0]["name"]
    answers = at_once(
        *(
            partial(paid.api.post, path, {"member": member["id"], "checkpoint": point})
            for member in (paid.payer, paid.payee)
        )
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert paid.state() == "completed"


def test_a_member_who_is_no_party_is_told_that_there_is_nothing(
    paid: Deal, new_api: Callable[..., Api]
) -> None:
    stranger = paid.api.acting(paid.api.member()["id"])
    path = f"/v1/exchanges/{paid.exchange['id']}/confirm"
    problem(stranger.post(path, {"checkpoint": "handover"}), 404, "exchange_not_found")
    neighbour = new_api()
    theirs = neighbour.member()["id"]
    problem(
        neighbour.post(path, {"member": theirs, "checkpoint": "handover"}),
        404,
        "exchange_not_found",
    )
