"""Why a step of a case is refused: one class a reason, each with a stable code."""

from __future__ import annotations

from ledger.refusals import Refusal


class CaseClosed(Refusal):
    """The case has ended."""

    code = "case_closed"


class NotNowInCase(Refusal):
    """The step does not fit the stage that the case is in."""

    code = "not_now_in_case"


class StaleCase(Refusal):
    """The case has changed since the version that the step was meant for."""

    code = "stale_version"


class TooSoon(Refusal):
    """The step may be taken later, not yet."""

    code = "too_soon"


class NotYourCase(Refusal):
    """Neither a side of the case nor somebody to whom it is assigned."""

    code = "not_your_case"


class NotYourTurn(Refusal):
    """The step is for the other side."""

    code = "not_your_turn"


class NothingOpen(Refusal):
    """The offer or proposal to answer is not open (any more)."""

    code = "nothing_open"


class AlreadyAccepted(Refusal):
    """This side has accepted the proposal; the other has not yet."""

    code = "already_accepted"


class AlreadyVoted(Refusal):
    """This member of the panel has given their word."""

    code = "already_voted"


class OutcomeNotOpen(Refusal):
    """An outcome that this case cannot have."""

    code = "outcome_not_open"


class ReasonsMissing(Refusal):
    """A decision without reasons that both sides can read."""

    code = "reasons_missing"


class GroundMissing(Refusal):
    """An appeal for nothing that other people would look at again."""

    code = "appeal_ground_missing"


class ChallengeUsed(Refusal):
    """This side has asked for somebody else before."""

    code = "challenge_used"


class CaseNotFound(Refusal):
    """No such case on this platform."""

    code = "case_not_found"


class CaseOpen(Refusal):
    """The subject has an open case already."""

    code = "case_open"


class NobodyEligible(Refusal):
    """Everybody who could take the case is tied to it, full, or away."""

    code = "nobody_eligible"
