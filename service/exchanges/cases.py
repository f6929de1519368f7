"""Steps of a case, and what they mean for its exchange, in one transaction.

Every step of a case goes through :func:`act`, whoever takes it: members, mediators, the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import cases, store
from disputes.commands import Command as CaseCommand
from disputes.commands import Move
from disputes.model import Case, Cause, Extra
from disputes.refusals import CaseNotFound
from ledger import units
from ledger.posting import Posting, Transfer
from ledger.refusals import Refusal
from service.exchanges import casework, chargebacks, helping, money
from service.exchanges import store as exchanges
from service.exchanges.advance import write
from service.exchanges.commands import Command, Decision, EventDraft, Who
from service.exchanges.decide import Rules, take
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.exchanges.refusals import ExchangeFrozen, ExtraInvalid

#: Who brings a case's outcome to its exchange.
_CASE: Final = Who(None, "case")
_WARNINGS: Final = text(
    "SELECT id FROM service.chargeback WHERE platform_id = :platform_id "
    "AND exchange_id = :exchange_id AND kind = 'warning' AND closed_at IS NULL ORDER BY id"
)


def act(
    connection: Connection,
    platform_id: UUID,
    wanted: Sequence[tuple[UUID, CaseCommand]],
    rules: Rules,
) -> list[Case | Refusal]:
    """Take each step on its case, and carry out on the exchange what it ends in.

    Answers one outcome each, in order; one's refusal does not touch another. A case may be named
    once in a batch.

    Raises:
        BelowCreditLimit, ExchangeFrozen, ExtraInvalid: what is given beside cannot be given. The
            caller's transaction must roll back, as for what follows.
        BrokenBooks, LostWrite: a bug of ours.
    """
    peek = store.load(connection, platform_id, [case_id for case_id, _ in wanted], lock=False)
    subjects = {case.subject_id for case in peek.values()}
    before = exchanges.load(connection, platform_id, sorted(subjects), lock=True)
    _check_extras(connection, platform_id, [command for _, command in wanted])
    told: dict[UUID, list[EventDraft]] = {}
    refused: dict[int, Refusal] = {}
    for number, (case_id, command) in enumerate(wanted):
        if case_id in peek:
            subject = before[peek[case_id].subject_id]
            hand = (command.member_id, command.helper_id, command.step)
            try:
                told[case_id] = helping.check_case(connection, subject, *hand, rules.now)
            except Refusal as refusal:
                refused[number] = refusal
    allowed = [one for number, one in enumerate(wanted) if number not in refused]
    draw = casework.by_lot(rules.now)
    taken = iter(cases.act(connection, platform_id, allowed, draw, rules.now))
    outcomes = [refused.get(number) or next(taken) for number in range(len(wanted))]
    moves = [one for one in outcomes if isinstance(one, Move)]
    decisions = [_mean(before[move.case.subject_id], move, rules) for move in moves]
    for move, decision in zip(moves, decisions, strict=True):
        decision.events += told.get(move.case.id, [])
    for done in write(connection, platform_id, before, decisions, rules.now):
        if isinstance(done, Refusal):
            raise done  # the case has moved, and what it means cannot be: neither is to be
    for move in moves:
        if move.case.closed_at is not None and move.case.cause is Cause.FRAUD:
            _lift_warnings(connection, move.case, rules)
    return [one.case if isinstance(one, Move) else one for one in outcomes]


def _mean(exchange: Exchange, move: Move, rules: Rules) -> Decision:
    """Return what a step of the case changes on its exchange."""
    if move.settlement is not None:
        command = Command(exchange.id, "settle_case", _CASE, settlement=move.settlement)
        decision = take(exchange, command, rules)
        if move.extra is not None:
            _give(decision, exchange, move.case, move.extra)
        return decision
    if move.resumed:
        return take(exchange, Command(exchange.id, "drop_case", _CASE), rules)
    return Decision(exchange)  # nothing but what there is to tell


def _check_extras(
    connection: Connection, platform_id: UUID, commands: Sequence[CaseCommand]
) -> None:
    """Money goes through a provider; what one gives the other beside it is a community's."""
    asked = [command.extra for command in commands if command.extra is not None]
    known = units.find_many(connection, platform_id, {extra.unit for extra in asked})
    for extra in asked:
        if extra.unit not in known or not known[extra.unit].community:
            raise ExtraInvalid(
                "Beside a split only units of the community can be given, such as hours.",
                pointer="/extra/unit",
                unit=extra.unit,
            )


def _give(decision: Decision, exchange: Exchange, case: Case, extra: Extra) -> None:
    """Move what one side gives the other beside what was disputed."""
    if exchange.frozen_at is not None:
        raise ExchangeFrozen(
            "The payer's bank contests this payment: nothing else is given for it meanwhile.",
            frozen_at=exchange.frozen_at.isoformat(),
        )
    giver = Role(extra.by)
    move = Transfer(
        money.member_account(exchange.member(giver)),
        money.member_account(exchange.member(giver.other)),
        extra.amount,
        extra.unit,
    )
    reference = money.reference(exchange.id)
    decision.postings.append(Posting(f"extra:{case.id}", "compensation", (move,), reference))


def _lift_warnings(connection: Connection, case: Case, rules: Rules) -> None:
    """A neutral has looked at what was warned of: nothing waits for the warning any more."""
    values = {"platform_id": case.platform_id, "exchange_id": case.subject_id}
    for warning_id in list(connection.scalars(_WARNINGS, values)):
        chargebacks.lift_warning(
            connection, case.platform_id, warning_id, f"case {case.outcome}", rules
        )


def tell(
    connection: Connection,
    platform_id: UUID,
    case_ids: Sequence[UUID],
    rules: Rules,
    beside: Sequence[EventDraft] = (),
) -> None:
    """Tell the platform of lines that were added to these cases' journals by themselves.

    (Somebody drawn or claimed, evidence added.) Told once, whoever calls it and how often.
    ``beside``: what else there is to tell of each.
    """
    peek = store.load(connection, platform_id, case_ids, lock=False)
    subjects = sorted({case.subject_id for case in peek.values()})
    before = exchanges.load(connection, platform_id, subjects, lock=True)
    decisions = [Decision(one, list(beside)) for one in before.values() if one.case_id in peek]
    write(connection, platform_id, before, decisions, rules.now)


def find(connection: Connection, platform_id: UUID, case_id: UUID) -> Case:
    """Return a case of the platform.

    Raises:
        CaseNotFound: there is none.
    """
    found = store.load(connection, platform_id, [case_id], lock=False).get(case_id)
    if found is None:
        raise CaseNotFound("No case with this id.")
    return found
