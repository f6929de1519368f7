"""The root of every refusal that a rule of the domain can give."""

from __future__ import annotations

from typing import Any, ClassVar


class Refusal(Exception):
    """A rule said no and nothing was changed.

    Each subclass is one reason. ``code`` is stable and public; ``facts`` are JSON values that let
    the caller mend the request; ``str(refusal)`` is the sentence shown to a developer. The HTTP
    edge maps classes to RFC 9457 problems in one table (``service/http/errors.py``).
    """

    code: ClassVar[str] = "refused"

    def __init__(self, detail: str, /, *, pointer: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        #: JSON Pointer (RFC 6901) to the field of the request that is at fault, if one is.
        self.pointer = pointer
        self.facts = facts


class UnknownUnit(Refusal):
    """The unit is neither in ISO 4217 nor defined by the platform."""

    code = "unknown_unit"


class UnitTaken(Refusal):
    """The platform has a unit of this code already."""

    code = "unit_taken"


class InvalidUnit(Refusal):
    """A community unit's code, decimals or credit limit are out of bounds."""

    code = "invalid_unit"


class InvalidPosting(Refusal):
    """A posting is malformed: no transfers, an amount or an account path out of bounds."""

    code = "invalid_posting"


class PostingNotFound(Refusal):
    """The platform's books have no posting of this key."""

    code = "posting_not_found"


class AlreadyReversed(Refusal):
    """The posting was reversed before; a correction is made once."""

    code = "already_reversed"


class CreditLimitPassed(Refusal):
    """The member owes more already than the new credit limit would allow."""

    code = "credit_limit_passed"
