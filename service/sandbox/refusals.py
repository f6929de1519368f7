"""Why a sandbox's clock or script is refused."""

from __future__ import annotations

from ledger.refusals import Refusal


class LiveTimeIsReal(Refusal):
    """A live platform has no clock to move and no scripted members."""

    code = "live_time_is_real"


class ClockCannotGoBack(Refusal):
    """A clock goes forward only: to an instant that is behind it cannot be moved."""

    code = "clock_cannot_go_back"


class TooFarAhead(Refusal):
    """Further than a clock can be moved at once, or at all."""

    code = "too_far_ahead"


class ClockIsMoving(Refusal):
    """Somebody moves this clock already."""

    code = "clock_is_moving"


class ScriptNotFound(Refusal):
    """No such script on this platform."""

    code = "script_not_found"


class TooManyScripts(Refusal):
    """As many scripts run as may run on one platform."""

    code = "too_many_scripts"


class CannotDispute(Refusal):
    """A scripted member has nothing that a bank could take back."""

    code = "nothing_to_dispute"


class NoDeadline(Refusal):
    """An act that is to come before a deadline, where there is none."""

    code = "no_deadline"
