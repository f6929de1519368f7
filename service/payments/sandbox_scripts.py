"""What the sandbox provider does on demand: by payment method, or by an amount's last digits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from service.payments.port import Request, Status

#: How long the slow ones take.
SLOW: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Script:
    """How an object behaves: what it becomes, after how long, told how many times."""

    becomes: Status | None
    after: timedelta = timedelta()
    failure: str | None = None
    tellings: int = 1


#: Payment methods of a collection. The default succeeds.
METHODS: Final = {
    "pm_sandbox_ok": Script(Status.SUCCEEDED),
    "pm_sandbox_declined": Script(Status.FAILED, failure="card_declined"),
    "pm_sandbox_slow": Script(Status.SUCCEEDED, SLOW),
    "pm_sandbox_late_failure": Script(Status.FAILED, SLOW, failure="debit_returned"),
    "pm_sandbox_duplicate_event": Script(Status.SUCCEEDED, tellings=3),
    "pm_sandbox_lost_event": Script(Status.SUCCEEDED, tellings=0),
    "pm_sandbox_requires_action": Script(None),
}
#: Last four digits of the amount of a refund or payout, in minor units.
AMOUNTS: Final = {
    404: Script(Status.FAILED, failure="account_closed"),
    408: Script(Status.SUCCEEDED, SLOW),
    409: Script(Status.SUCCEEDED, tellings=3),
    410: Script(Status.SUCCEEDED, tellings=0),
}
DEFAULT: Final = METHODS["pm_sandbox_ok"]


def script_of(request: Request) -> Script:
    """Return how the object of this request will behave.

    What the payer must confirm in person is refused where they are not there, as banks do.
    """
    if request.kind != "collect":
        return AMOUNTS.get(request.amount % 10_000, DEFAULT)
    script = METHODS.get(request.method or "", DEFAULT)
    if request.hosted and script.becomes is Status.SUCCEEDED:
        return METHODS["pm_sandbox_requires_action"]
    if script.becomes is None and request.off_session:
        return Script(Status.FAILED, failure="authentication_required")
    return script


def block_lasts(request: Request) -> timedelta:
    """Return how long a block lasts: as with the card networks, shorter without the payer."""
    return timedelta(days=4, hours=18) if request.off_session else timedelta(days=7)
