"""Bodies about money that goes back after its release."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.http.schemas.base import Body, LongText, MinorUnits


class GiveBackBody(Body):
    """How much of the exchange's money goes back to the payer, who bears it, and why."""

    amount: MinorUnits = Field(description="Minor units of the exchange's currency.")
    borne_by: Literal["payee", "platform"]
    reason_code: Literal["withdrawal", "conformity", "decision", "agreed", "error"] = Field(
        description="withdrawal and conformity: the buyer's rights (Code de la consommation, "
        "L221-18, L217-3); decision: of a court or a mediator; agreed: by both members; error: the "
        "release was the platform's mistake."
    )
    reason: LongText = Field(description="In words, for both members.")
