"""Acts of a dispute on its exchange: freeze what is concerned, and carry out how the case ends.

What is disputed waits for the case alone; everything else goes on as agreed.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from disputes.model import Cause
from disputes.outcomes import Side
from disputes.reasons import REASONS, SILENCE, Reason, find
from ledger.refusals import Refusal
from service.exchanges import deposits, division, money
from service.exchanges.codes import CodeBook
from service.exchanges.commands import ClaimDraft, Command, Decision, OpeningCase
from service.exchanges.confirmation import go_on
from service.exchanges.deadlines import decide_case_by, escalate_at
from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import Exchange, Leg, LegState, State
from service.exchanges.refusals import ClaimIncomplete, InDispute, NothingToDispute
from service.ids import encode, uuid7
from service.policies.windows import LEAST_CASE

#: What is concerned where nobody says: the deposits, everything held, or else what hangs on the
#: checkpoint that comes next.
_ABOUT_DEPOSITS: Final = frozenset({"deposit_damage", "not_returned"})
_ABOUT_ALL: Final = frozenset({"not_received", "unauthorised", "pressure_or_scam"})
#: An answer, or a claimant's own words, in characters.
MOST_TEXT: Final = 5_000
#: What a bank calls a reason (Stripe, "Dispute reasons"), in ours; anything else is a claim that
#: the payment was not authorised.
_OF_BANK: Final = {
    "product_not_received": "not_received",
    "product_unacceptable": "not_as_described",
    "credit_not_processed": "not_as_described",
}


def check_open(exchange: Exchange, now: datetime) -> Refusal | None:
    """Return why no case can be opened on the exchange now, or None."""
    if exchange.case_id is not None:
        return InDispute(
            "There is a case about this exchange already: say there what you know.",
            case=encode("case", exchange.case_id),
        )
    if not exchange.held_legs:
        return NothingToDispute("Nothing is held, so there is nothing that a case could move.")
    # With less time than a case needs, whoever is presumed right would win by claiming last.
    if decide_case_by(exchange, now) < now + LEAST_CASE:
        return NothingToDispute(
            "The time for which a payment may be held is nearly over: it goes back to the payer."
        )
    return None


def claim(
    exchange: Exchange, command: Command, role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """A member says that something is wrong: what it is about is frozen at once."""
    draft = command.claim
    assert draft is not None
    side = Side(role)
    reason = find(draft.reason, exchange.kind, side)
    _check_answers(reason, draft)
    legs = _concerned(exchange, reason, draft)
    concerned = {leg.id: leg for leg in legs}
    division.check_parts(concerned, draft.amounts)
    decision = Decision(exchange)
    made = division.divide(decision, draft.amounts)
    legs = [made.get(leg.id, leg) for leg in legs]
    decision = _freeze(decision, legs, command, now, codes)
    if role is Role.PAYEE:
        # Who would get the whole deposit claims less: nobody disputes that the rest goes home.
        rest = [leg for leg in decision.exchange.held_legs if leg.id in made]
        home = {leg.id: 0 for leg in rest if leg.role is LegRole.DEPOSIT}
        money.settle(decision, home)
    decision.opens = _opening(exchange, Cause.CLAIM, reason, role, legs, now, draft)
    return decision


def flag(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The platform sees signs of fraud: what is held is frozen, and a neutral looks."""
    draft = command.claim
    assert draft is not None
    legs = _concerned(exchange, REASONS["pressure_or_scam"], draft)
    decision = _freeze(Decision(exchange), legs, command, now, codes)
    reason = REASONS["pressure_or_scam"]
    decision.opens = _opening(exchange, Cause.FRAUD, reason, None, legs, now, draft)
    return decision


def look_at_silence(decision: Decision, now: datetime) -> None:
    """Open the short review of an exchange whose members did not answer in time.

    Nothing is disputed: both words still meet the checkpoint while it runs.
    """
    exchange = decision.exchange
    current = exchange.current
    held = exchange.held_legs
    if not held or exchange.case_id is not None:
        return
    legs = [leg for leg in held if current is not None and leg.checkpoint == current.name]
    if not legs or now >= escalate_at(exchange):
        legs = held
    decision.opens = _opening(exchange, Cause.SILENCE, SILENCE, None, legs, now)


def open_by_bank(decision: Decision, why: str | None, now: datetime) -> None:
    """A bank contests the payment, or warns of fraud: the members can be heard on it at once."""
    exchange = decision.exchange
    legs = [leg for leg in exchange.held_legs if leg.sort == "money"]
    if not legs or check_open(exchange, now) is not None:
        return
    warned = why == "warning"
    code = _OF_BANK.get(why or "", "unauthorised")
    if exchange.kind not in REASONS[code].kinds:
        code = "unauthorised"
    exchange = exchange.with_legs({leg.id: replace(leg, disputed=True) for leg in legs})
    decision.exchange = exchange
    decision.opens = _opening(
        exchange,
        Cause.FRAUD if warned else Cause.CHARGEBACK,
        REASONS[code],
        None if warned else Role.PAYER,
        legs,
        now,
    )


def _check_answers(reason: Reason, draft: ClaimDraft) -> None:
    missing = [one for one in reason.questions if not draft.answers.get(one, "").strip()]
    unknown = sorted(set(draft.answers) - set(reason.questions))
    if missing or unknown:
        asked = ", ".join(reason.questions)
        raise ClaimIncomplete(
            f"'{reason.code}' asks for an answer to each of: {asked}; and to nothing else.",
            pointer=f"/answers/{(missing or unknown)[0]}",
            questions=list(reason.questions),
        )
    if len(draft.text) > MOST_TEXT or any(len(one) > MOST_TEXT for one in draft.answers.values()):
        raise ClaimIncomplete(
            f"Each text has at most {MOST_TEXT} characters; more can be added as evidence.",
            pointer="/text",
        )


def _concerned(exchange: Exchange, reason: Reason, draft: ClaimDraft) -> list[Leg]:
    held = {leg.id: leg for leg in exchange.held_legs}
    loose = [one for one in draft.amounts if one not in draft.legs]
    if loose:
        raise ClaimIncomplete(
            "Name the legs that are disputed; an amount says how much of one.", pointer="/legs"
        )
    if draft.legs:
        unknown = [one for one in draft.legs if one not in held]
        if unknown:
            raise ClaimIncomplete(
                "Only what is held can be disputed.",
                pointer=f"/legs/{draft.legs.index(unknown[0])}",
                legs=[encode("leg", one) for one in held],
            )
        return [leg for leg in held.values() if leg.id in draft.legs]
    found = list(held.values())
    current = exchange.current
    if reason.code in _ABOUT_DEPOSITS:
        found = [leg for leg in found if leg.role is LegRole.DEPOSIT]
    elif reason.code not in _ABOUT_ALL and current is not None:
        found = [leg for leg in found if leg.checkpoint == current.name]
    if not found:
        raise NothingToDispute(
            f"Nothing that '{reason.code}' is usually about is held; name the legs.",
            pointer="/legs",
            legs=[encode("leg", one) for one in held],
        )
    return found


def _freeze(
    decision: Decision, legs: Iterable[Leg], command: Command, now: datetime, codes: CodeBook
) -> Decision:
    exchange = decision.exchange
    frozen = {leg.id: replace(leg, disputed=True) for leg in legs}
    exchange = replace(exchange.with_legs(frozen), proposal=None)
    blocked = [leg for leg in exchange.held_legs if exchange.is_blocked(leg)]
    if any(leg.disputed for leg in blocked) and not all(leg.disputed for leg in blocked):
        # One block at the bank cannot stay for the one deposit and go home for the other: it is
        # taken, and what nobody disputes goes back from there.
        taken = deposits.take_deposit(exchange, command, Role.PAYER, now, codes)
        taken.postings[:0] = decision.postings
        return taken
    decision.exchange = exchange
    return decision


def _opening(
    exchange: Exchange,
    cause: Cause,
    reason: Reason,
    claimant: Role | None,
    legs: Iterable[Leg],
    now: datetime,
    draft: ClaimDraft | None = None,
) -> OpeningCase:
    draft = draft or ClaimDraft(reason.code)
    return OpeningCase(
        uuid7(),
        cause,
        reason,
        claimant,
        tuple(leg.id for leg in legs),
        decide_case_by(exchange, now),
        draft.answers,
        draft.text,
        draft.gentle,
    )


def settle_case(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The case has its outcome: it is carried out, or once the bank contests nothing any more."""
    assert command.settlement is not None
    if exchange.frozen_at is not None:
        return Decision(replace(exchange, award=dict(command.settlement), proposal=None))
    decision = Decision(exchange)
    _carry_out(decision, command.settlement, now, codes)
    return decision


def drop_case(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """Nothing is disputed any more: what both confirmed meanwhile is released now."""
    decision = Decision(exchange)
    _drop(decision, now, codes)
    return decision


def _drop(decision: Decision, now: datetime, codes: CodeBook) -> None:
    exchange = decision.exchange
    met = {point.name for point in exchange.checkpoints if point.met_at is not None}
    ends = {
        leg.id: money.natural_end(leg)
        for leg in exchange.held_legs
        if leg.disputed and leg.checkpoint in met
    }
    if ends and exchange.frozen_at is not None:
        waiting = {leg.id: replace(leg, disputed=leg.id in ends) for leg in exchange.held_legs}
        decision.exchange = replace(exchange.with_legs(waiting), award=ends)
        return
    _carry_out(decision, ends, now, codes, as_agreed=True)


def after_the_bank(decision: Decision, now: datetime, codes: CodeBook) -> None:
    """The bank contests nothing any more: what a case decided meanwhile is carried out.

    A case that the bank's own claim began has nothing left to decide, and the exchange goes on.
    """
    exchange = decision.exchange
    if exchange.award is not None:
        _carry_out(decision, exchange.award, now, codes)
    elif exchange.case_cause in {Cause.CHARGEBACK, Cause.FRAUD} or exchange.case_id is None:
        _drop(decision, now, codes)


def detach(exchange: Exchange) -> Exchange:
    """Return the exchange with no case and nothing disputed."""
    free = {leg.id: replace(leg, disputed=False) for leg in exchange.legs if leg.disputed}
    return replace(exchange.with_legs(free), case_id=None, case_cause=None, award=None)


def is_moot(before: Exchange, after: Exchange) -> bool:
    """Tell whether a step took from a case what it is about: settled, met or ended elsewhere."""
    if before.case_id is None or after.case_id is None:
        return False
    if after.closed_at is not None:
        return True
    disputed = {leg.id for leg in before.legs if leg.disputed}
    if disputed:
        return any(leg.id in disputed and leg.state is LegState.SETTLED for leg in after.legs)
    return after.state is not State.IN_REVIEW


def _carry_out(
    decision: Decision,
    to_payee: Mapping[UUID, int],
    now: datetime,
    codes: CodeBook,
    *,
    as_agreed: bool = False,
) -> None:
    before = decision.exchange
    state = State.ACTIVE  # of what goes on; an end is written over it
    decision.exchange = replace(
        detach(before), proposal=None, resumed_at=now, review_at=None, state=state
    )
    held = {leg.id for leg in before.held_legs}
    split = {leg: part for leg, part in to_payee.items() if leg in held}
    money.settle(decision, split)
    if not as_agreed:
        _meet(decision, before.case_id, split, now)
    exchange = decision.exchange
    if as_agreed or exchange.held_legs:
        if exchange.current != before.current or exchange.current is None:
            go_on(decision, now, codes)
    elif any(leg.share is not None and leg.share.to_payee for leg in exchange.legs):
        decision.end(State.SETTLED, now, "exchange.settled")
    else:
        decision.end(State.REFUNDED, now, "exchange.refunded")


def _meet(
    decision: Decision, case_id: UUID | None, split: Mapping[UUID, int], now: datetime
) -> None:
    """A checkpoint of which the case settled everything is met by that, without the words."""
    while (point := decision.exchange.current) is not None:
        legs = [leg for leg in decision.exchange.legs if leg.checkpoint == point.name]
        decided = any(leg.id in split for leg in legs)
        if not decided or any(leg.state is LegState.HELD for leg in legs):
            return
        met = replace(point, met_at=now, case_id=case_id)
        decision.exchange = decision.exchange.with_checkpoint(met)
