"""The lanes of the steps that many take at the same time: those of the table, and paying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from ledger.refusals import Refusal
from service.exchanges import queries, store
from service.exchanges.advance import Done, Outcome, advance
from service.exchanges.asking import Ask, Said, prepare, record
from service.exchanges.commands import Command
from service.exchanges.decide import Rules
from service.exchanges.refusals import PaymentMethodRefused
from service.http import presenters
from service.http.auth import Actor
from service.http.idempotency import Answer
from service.http.laned import Job, laned
from service.http.routes.exchanges import viewer
from service.ids import encode
from service.payments import payments
from service.payments.port import Provider

#: Steps that many take at the same time, and whose refusal leaves no trace beside another's effect.
OFTEN: Final = frozenset({"agree", "decline", "cancel", "confirm", "withdraw_confirmation"})


def _together(
    connection: Connection,
    platform_id: UUID,
    jobs: Sequence[Job[Command]],
    early: Sequence[Refusal | None],
    now: datetime,
) -> list[Outcome]:
    """Take a step of each that is not refused ``early``; others than parties find nothing."""
    own = [job.command.exchange_id for job in jobs if job.actor.member_id is not None]
    parties = queries.parties(connection, platform_id, own)
    found: list[Outcome | Command] = []
    for job, refusal in zip(jobs, early, strict=True):
        member_id, command = job.actor.member_id, job.command
        strange = member_id is not None and member_id not in parties.get(command.exchange_id, ())
        found.append(refusal or (queries.not_found() if strange else command))
    commands = [one for one in found if isinstance(one, Command)]
    outcomes = iter(advance(connection, platform_id, commands, Rules(now, jobs[0].edge.codes)))
    return [next(outcomes) if isinstance(one, Command) else one for one in found]


def _taken(
    connection: Connection, platform_id: UUID, jobs: Sequence[Job[Command]], now: datetime
) -> list[Answer | Refusal]:
    outcomes = _together(connection, platform_id, jobs, [None] * len(jobs), now)
    return [shown(job.actor, one, now) for job, one in zip(jobs, outcomes, strict=True)]


def shown(actor: Actor, outcome: Outcome, now: datetime) -> Answer | Refusal:
    """Return what the actor is told of a step: the exchange after it, or why it is refused."""
    if isinstance(outcome, Refusal):
        return outcome
    shown = presenters.exchange(outcome.exchange, viewer(actor, outcome.exchange), now)
    return Answer(shown, refusal=outcome.refusal)


STEPS: Final = laned("steps", _taken, lambda command: command.exchange_id)


@dataclass(slots=True)
class Paying:
    """A step that pays: its command, and what it needs and learns between its two lanes."""

    command: Command
    #: What to ask the provider, as the first lane wrote it; None where that has to be read again.
    ask: Ask | None = None
    #: What the provider answered, for the second lane to record; None where that was done.
    said: Said | None = None


def _asked(
    connection: Connection, platform_id: UUID, jobs: Sequence[Job[Paying]], now: datetime
) -> list[Answer | Refusal]:
    """Write the payments to ask for; what needs none, such as community units, is done with it."""
    provider = jobs[0].edge.desk.providers.of(connection, platform_id, jobs[0].actor.mode)
    steps = [
        Job(job.edge, job.request_id, job.actor, job.call, job.command.command) for job in jobs
    ]
    early = [_unknown_method(job.command, provider) for job in steps]
    outcomes = _together(connection, platform_id, steps, early, now)
    asks = _asks(connection, platform_id, outcomes)
    found: list[Answer | Refusal] = []
    for job, one in zip(jobs, outcomes, strict=True):
        answer = shown(job.actor, one, now)
        if isinstance(one, Done) and isinstance(answer, Answer) and one.payments:
            answer = replace(answer, resume=encode("payment", one.payments[0].id))
            job.command.ask = asks.get(one.payments[0].id)
        found.append(answer)
    return found


def _asks(
    connection: Connection, platform_id: UUID, outcomes: Sequence[Outcome]
) -> dict[UUID, Ask]:
    """Return what to ask for payments that stand alone: what follows another is asked after it."""
    done = [one for one in outcomes if isinstance(one, Done)]
    ids = [one.payments[0].id for one in done if len(one.payments) == 1]
    rows = payments.find_all(connection, platform_id, ids).values()
    asks = prepare(connection, platform_id, list(rows))
    return {ask.row["id"]: ask for ask in asks if not ask.row["waiting"]}


def _unknown_method(command: Command, provider: Provider | None) -> Refusal | None:
    method = command.payment_method
    if method is None or (provider is not None and provider.accepts_method(method)):
        return None
    return PaymentMethodRefused(
        "The provider knows no such payment method.", pointer="/payment_method"
    )


def _answered(
    connection: Connection, platform_id: UUID, jobs: Sequence[Job[Paying]], now: datetime
) -> list[Answer | Refusal]:
    """Record what the provider answered, and say how the exchanges stand after it."""
    said = [job.command.said for job in jobs if job.command.said is not None]
    record(connection, platform_id, said, Rules(now, jobs[0].edge.codes))
    ids = [job.command.command.exchange_id for job in jobs]
    found = store.load(connection, platform_id, ids, lock=False)
    return [
        Answer(presenters.exchange(one, viewer(job.actor, one), now))
        for job, one in zip(jobs, [found[one] for one in ids], strict=True)
    ]


PAY: Final = laned("pay", _asked, lambda paying: paying.command.exchange_id)
PAID: Final = laned("paid", _answered, lambda paying: paying.command.exchange_id, concludes=True)
