"""Every reason for which an exchange refuses something."""

from __future__ import annotations

from ledger.refusals import Refusal


class InvalidTerms(Refusal):
    """The terms contradict the kind of exchange, a unit, a window or themselves."""

    code = "invalid_terms"


class UnknownMember(Refusal):
    """A party of the exchange is not a member of this platform."""

    code = "unknown_member"


class ErasedMember(Refusal):
    """A party's account was erased; it can enter no new exchange."""

    code = "member_erased"


class UnknownUnit(Refusal):
    """A leg is in a unit that is neither in ISO 4217 nor defined by the platform."""

    code = "unknown_unit"


class ExternalIdTaken(Refusal):
    """Another exchange of the platform already has this ``external_id``."""

    code = "exchange_external_id_taken"


class ExchangeNotFound(Refusal):
    """No such exchange on this platform, or not one the viewer is part of."""

    code = "exchange_not_found"


class NotAParty(Refusal):
    """The member named is neither payer nor payee of the exchange."""

    code = "not_a_party"


class StepNotAllowed(Refusal):
    """The table of steps does not allow this step now."""

    code = "step_not_allowed"


class DeadlinePassed(Refusal):
    """The time for this step has ended by the terms; what they announced takes its course."""

    code = "deadline_passed"


class ExchangeFrozen(Refusal):
    """The payer's bank contests the payment: nothing is released until that is settled."""

    code = "exchange_frozen"


class InDispute(Refusal):
    """A case is open about the exchange: this is to be done in the case."""

    code = "in_dispute"


class NothingToDispute(Refusal):
    """Nothing is held that a claim could be about, or it is too late to look at it."""

    code = "nothing_to_dispute"


class ClaimIncomplete(Refusal):
    """A claim without answers to what its reason asks, or about legs that are not held."""

    code = "claim_incomplete"


class ExtraInvalid(Refusal):
    """What an offer gives beside what is disputed is in no unit of the community."""

    code = "extra_invalid"


class NotYourStep(Refusal):
    """The step exists now, but for somebody else."""

    code = "not_your_step"


class StaleVersion(Refusal):
    """The exchange has changed since the caller read it."""

    code = "stale_version"


class StaleTerms(Refusal):
    """The terms agreed to are not the terms now on the table."""

    code = "stale_terms"


class UnknownCheckpoint(Refusal):
    """The exchange has no such checkpoint."""

    code = "unknown_checkpoint"


class CheckpointNotCurrent(Refusal):
    """The checkpoint is met already, or an earlier one is still to be met."""

    code = "checkpoint_not_current"


class AlreadyConfirmed(Refusal):
    """This side has confirmed the checkpoint already."""

    code = "already_confirmed"


class NothingToWithdraw(Refusal):
    """This side has no confirmation of the checkpoint to take back."""

    code = "nothing_to_withdraw"


class WrongCode(Refusal):
    """The hand-over code entered is not the right one; the try was counted."""

    code = "wrong_code"


class CodeLocked(Refusal):
    """Five wrong tries locked the hand-over code; its holder can renew it."""

    code = "code_locked"


class CodeNotLocked(Refusal):
    """The hand-over code can only be renewed once it is locked."""

    code = "code_not_locked"


class CodesUsedUp(Refusal):
    """The code was renewed as often as allowed; the two members confirm each for themselves."""

    code = "codes_used_up"


class CodeNotYours(Refusal):
    """The hand-over code is shown only to the member who gives something up."""

    code = "code_not_yours"


class SplitDoesNotSum(Refusal):
    """A proposed settlement does not share out exactly what is held."""

    code = "split_does_not_sum"


class NoOpenProposal(Refusal):
    """There is no open settlement with this id: it was answered, replaced, or lapsed."""

    code = "no_open_proposal"


class BelowCreditLimit(Refusal):
    """A community account of the payer, or of who gives beside a split, would pass its limit."""

    code = "credit_limit_reached"


class PaymentMethodRefused(Refusal):
    """The payment method given is not one that the provider knows."""

    code = "unknown_payment_method"


class TooManySteps(Refusal):
    """The same exchange is named twice in one batch."""

    code = "repeated_in_batch"
