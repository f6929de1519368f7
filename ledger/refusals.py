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
