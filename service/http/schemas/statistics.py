"""What the API gives of how disputes go. None stands for a count that is withheld."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.http.schemas.base import Answer

Counts = dict[str, int | None]


class OpenedOut(Answer):
    """Cases that were opened in the quarter."""

    cases: int | None
    by_reason: Counts


class ClosedOut(Answer):
    """Cases that were closed in the quarter; all that follows is about these."""

    cases: int | None
    by_reason: Counts
    by_outcome: Counts
    median_days: float | None


class SharesOut(Answer):
    """What the payee got of what was disputed, as the mean of the cases; the payer got the rest."""

    to_payee_percent: int | None
    by_reason: Counts


class StageOut(Answer):
    """A stage, and how long cases were in it."""

    cases: int | None
    median_days: float | None


class AppealsOut(Answer):
    """Appeals, and what came of them."""

    made: int | None
    changed: int | None
    stood: int | None
    not_heard: int | None


class LateOut(Answer):
    """What was not done in time."""

    mediator_silent: int | None = Field(description="The case went to somebody else.")
    limit_reached: int | None = Field(description="What the terms presume held.")


class OtherMediatorOut(Answer):
    """Cases that somebody else took, because a side asked or the mediator stepped back."""

    challenged: int | None
    declined: int | None


class AgainOut(Answer):
    """Decisions that somebody who did not know them decided again."""

    decisions: int | None
    alike: int | None
    otherwise: int | None


class StatisticsOut(Answer):
    """How disputes went in a quarter that is over, on all live platforms of the instance."""

    object: Literal["dispute_statistics"]
    quarter: str
    since: datetime
    until: datetime
    withheld_below: int = Field(
        description="A count below is null, with as many beside it as it takes."
    )
    opened: OpenedOut
    closed: ClosedOut
    shares: SharesOut
    stages: dict[str, StageOut]
    appeals: AppealsOut
    late: LateOut
    other_mediator: OtherMediatorOut
    decided_again: AgainOut
