"""Every type of event there is: a closed list, each with its version and what it means.

The version of a type counts the changes of its ``data`` that could break a reader: a field taken
away, renamed, or given another meaning. A field that is added does not change it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from ledger.refusals import Refusal

#: Stands for every type.
ALL: Final = "*"
#: In SQL: whether the filter of endpoint ``w`` lets event ``e`` pass.
PASSES: Final = "w.events && ARRAY['*', e.type, split_part(e.type, '.', 1) || '.*']"
#: Sent by ``POST …/test`` to one endpoint alone; it is in no outbox.
TEST: Final = "webhook_endpoint.test"
FAILING: Final = "webhook_endpoint.failing"
DISABLED: Final = "webhook_endpoint.disabled"


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event."""

    name: str
    meaning: str
    version: int = 1

    @property
    def family(self) -> str:
        """The name before its dot."""
        return self.name.partition(".")[0]


class UnknownEventType(Refusal):
    """A type or family of events that does not exist."""

    code = "unknown_event_type"


_TYPES: Final = (
    EventType("exchange.proposed", "One side proposed an exchange to the other."),
    EventType("exchange.counter_offered", "A side answered with terms of its own."),
    EventType("exchange.agreed", "Both sides agreed to the same terms."),
    EventType("exchange.declined", "The exchange was declined before it began."),
    EventType("exchange.funding", "The payer began to pay."),
    EventType("exchange.funding_failed", "A payment did not go through; the payer may try again."),
    EventType("exchange.payment_abandoned", "Payments that were begun are no longer wanted."),
    EventType("exchange.active", "Everything is paid or blocked, and the exchange goes on."),
    EventType("exchange.confirmed", "A side said that a checkpoint was reached."),
    EventType("exchange.confirmation_withdrawn", "A side took its confirmation back."),
    EventType("exchange.checkpoint_met", "Both sides confirmed a checkpoint."),
    EventType("exchange.code_wrong", "A hand-over code was entered that is not the right one."),
    EventType("exchange.code_locked", "A hand-over code was locked after too many wrong tries."),
    EventType("exchange.code_renewed", "A locked hand-over code was replaced by its holder."),
    EventType("exchange.settlement_proposed", "A side proposed how to share what is held."),
    EventType("exchange.cancellation_proposed", "A side proposed to cancel the exchange."),
    EventType("exchange.proposal_accepted", "The other side accepted the proposal."),
    EventType("exchange.proposal_rejected", "The other side rejected the proposal."),
    EventType("exchange.proposal_withdrawn", "A side took its proposal back."),
    EventType("exchange.reminder", "Somebody was reminded of a deadline that comes nearer."),
    EventType("exchange.in_review", "Nobody answered in time: a neutral looks at the exchange."),
    EventType("exchange.frozen", "A bank contests the payment; nothing is paid out meanwhile."),
    EventType("exchange.unfrozen", "The bank contests the payment no longer."),
    EventType("exchange.charged_back", "The bank took money of the exchange back."),
    EventType("exchange.given_back", "The platform gave money back after the exchange had ended."),
    EventType("exchange.completed", "Every checkpoint was met: the exchange ended as agreed."),
    EventType("exchange.settled", "The exchange ended by a settlement."),
    EventType("exchange.cancelled", "The exchange was cancelled."),
    EventType("exchange.refunded", "The exchange ended with the money back at the payer."),
    EventType("exchange.expired", "The exchange ended because nobody went on with it."),
    EventType("case.opened", "A case was opened: what it is about is frozen."),
    EventType("case.offer_made", "A side of a case offered how to end it."),
    EventType("case.offer_withdrawn", "A side of a case took its offer back."),
    EventType("case.offer_rejected", "The other side said no to an offer."),
    EventType("case.offer_accepted", "The other side accepted an offer: it is carried out."),
    EventType("case.claim_withdrawn", "The claim was taken back: the exchange goes on."),
    EventType("case.mediator_called", "A side asked for a neutral person."),
    EventType("case.talk_ended", "Not settled between the two in time: a neutral joins."),
    EventType("case.assigned", "A neutral person was found for a part of the case."),
    EventType("case.nobody_eligible", "Nobody is free to take the case yet; it waits."),
    EventType("case.reassigned", "A neutral did not answer in time: somebody else is found."),
    EventType("case.declined", "A neutral gave the case back: somebody else is found."),
    EventType("case.challenged", "A side asked for another neutral person."),
    EventType("case.proposal_made", "The neutral proposed to both how to end it."),
    EventType("case.proposal_accepted", "A side accepted the neutral's proposal."),
    EventType("case.proposal_rejected", "A side said no to the proposal: the neutral decides."),
    EventType("case.mediation_ended", "Not settled in mediation: the neutral decides."),
    EventType("case.decided", "The neutral decided; each side can appeal for a while."),
    EventType("case.appealed", "A side appealed: other people look."),
    EventType("case.appeal_decided", "The appeal was decided."),
    EventType("case.flag_lifted", "A neutral found nothing wrong: the exchange goes on."),
    EventType("case.return_awaited", "The goods go back first; the money follows."),
    EventType("case.returned", "The payer says that the goods went back."),
    EventType("case.return_confirmed", "The payee says that the goods came back."),
    EventType("case.return_disputed", "Nobody confirmed a return in time: a neutral decides."),
    EventType("case.not_returned", "The goods did not go back in time."),
    EventType("case.repair_awaited", "The payee mends it first; then it goes on as agreed."),
    EventType("case.repaired", "The payee says that it is mended."),
    EventType("case.repair_confirmed", "The payer says that it is mended: it goes on as agreed."),
    EventType("case.repair_disputed", "It is not mended, or nobody said so: a neutral decides."),
    EventType("case.limit_reached", "Nobody could decide in time: what the terms presume holds."),
    EventType("case.moot", "What the case was about found its end without it."),
    EventType("case.closed", "The case has its outcome."),
    EventType("case.evidence_added", "Evidence was added to a case."),
    EventType("case.evidence_requested", "The neutral asked a side for evidence."),
    EventType("case.reminded", "A side of a case was reminded of what waits for it."),
    EventType("case.evidence_answered", "A side answered what the neutral asked for."),
    EventType("leg.released", "A leg went to the payee."),
    EventType("leg.returned", "A leg went back to the payer."),
    EventType("leg.split", "A leg was shared between the two."),
    EventType("deposit.authorised", "The deposit is blocked on the payer's card."),
    EventType("deposit.renewing", "The deposit's block ends soon and is being made anew."),
    EventType("deposit.action_needed", "The payer has to let the deposit be blocked again."),
    EventType("deposit.unwanted", "A block of the deposit is no longer needed."),
    EventType("deposit.lapsed", "The deposit's block ended; nothing secures the deposit."),
    EventType("deposit.taking", "A part of the deposit, or all, is being taken."),
    EventType("deposit.taken", "A part of the deposit, or all, was taken."),
    EventType("deposit.lost", "The deposit was owed but the bank had let its block go."),
    EventType("payment.late", "A payment came in after it was no longer wanted; it goes back."),
    EventType("payment.amount_differs", "The provider speaks of another amount than was asked."),
    EventType("refund.asked", "The provider was asked to give the payer money back."),
    EventType("refund.succeeded", "The payer has the money back."),
    EventType("refund.failed", "A refund did not go through."),
    EventType("refund.returned", "A refund came back from the payer's bank."),
    EventType("payout.asked", "A member's balance was asked to be paid out."),
    EventType("payout.waiting", "A payee is owed money that waits for their payout account."),
    EventType("payout.succeeded", "A payee has the money."),
    EventType("payout.failed", "A payout did not go through."),
    EventType("payout.returned", "A payout came back."),
    EventType("reversal.asked", "The provider was asked to take money back from a payee."),
    EventType("reversal.succeeded", "Money was taken back from a payee."),
    EventType("reversal.failed", "Money could not be taken back from a payee."),
    EventType("reversal.returned", "What was taken back from a payee went to them again."),
    EventType("receivable.open", "A loss could not be taken from anybody's balance: it is owed."),
    EventType("receivable.written_off", "The platform bears what was owed."),
    EventType("chargeback.warned", "The payer's bank warns that a payment may be fraud."),
    EventType("chargeback.opened", "The payer contests a payment at their bank."),
    EventType("chargeback.updated", "A contested payment changed at the bank."),
    EventType("chargeback.answered", "Evidence was sent to the bank."),
    EventType("chargeback.answer_refused", "The provider did not take the evidence."),
    EventType("chargeback.left_unanswered", "The bank's deadline passed without evidence."),
    EventType("chargeback.won", "The bank decided for the payee."),
    EventType("chargeback.lost", "The bank decided for the payer."),
    EventType("chargeback.closed", "The contest or the warning ended without a decision."),
    EventType("chargeback.given_on", "What the bank gave back was given on to the payee."),
    EventType("payee.ready", "A member's payout account can take money."),
    EventType("payee.requirements_due", "The provider wants to know more of a payee."),
    EventType("payee.disabled", "A member's payout account can take no money for now."),
    EventType("payee.refused", "The provider refuses a payee for good."),
    EventType("bank_payout.paid", "Money of a payout account arrived at the payee's bank."),
    EventType("bank_payout.failed", "The payee's bank did not take the money."),
    EventType("bank_payout.canceled", "Money on its way to the payee's bank was called back."),
    EventType("payouts.stopped", "All payouts of the platform are stopped."),
    EventType("payouts.resumed", "Payouts of the platform go on."),
    EventType("reconciliation.difference", "Our books and the provider's differ."),
    EventType("reconciliation.resolved", "A difference between the books was explained."),
    EventType("member.paused", "A member cannot act for a while; their deadlines wait."),
    EventType("member.resumed", "A member can act again; their deadlines run on."),
    EventType("member.assisted", "A helper, or the platform's desk, did something for a member."),
    EventType("helper.named", "A member named somebody to act for them, within limits."),
    EventType("helper.ended", "Somebody who acted for a member does so no more."),
    EventType("message.bounced", "A message to a member could not be delivered."),
    EventType(FAILING, "Every attempt to reach a webhook endpoint has failed for a day."),
    EventType(DISABLED, "A webhook endpoint was disabled, with the reason."),
    EventType(TEST, "A test that was asked for; nothing happened."),
)

TYPES: Final = {one.name: one for one in _TYPES}
FAMILIES: Final = tuple(dict.fromkeys(one.family for one in _TYPES))


def check_known(types: Collection[str]) -> None:
    """Stop an event of a type that is not in the list.

    Raises:
        ValueError: a bug of ours: whoever adds a type adds it here.
    """
    unknown = sorted(set(types) - TYPES.keys())
    if unknown:
        raise ValueError(f"not in the catalogue of events: {', '.join(unknown)}")


def check_filter(wanted: Sequence[str], pointer: str = "/events") -> list[str]:
    """Return a filter of events without repetitions: types, families such as ``exchange.*``, ``*``.

    Raises:
        UnknownEventType: one does not exist; the refusal names the nearest that do.
    """
    families = [f"{family}.*" for family in FAMILIES]
    for number, one in enumerate(wanted):
        if one == ALL or one in TYPES or one in families:
            continue
        near = get_close_matches(one, [*TYPES, *families], n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UnknownEventType(
            f"{one[:80]!r} is no type of event. {hint}GET /v1/event-types lists them all.",
            pointer=f"{pointer}/{number}",
            nearest=near,
        )
    return list(dict.fromkeys(wanted))
