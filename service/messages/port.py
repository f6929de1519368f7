"""What a channel to a person is: e-mail, SMS, or the mailbox of a development machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.messages.compose import Recipient, Written


class Fate(StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    LATER = "later"  # it may go the next time: a full mailbox, a server that is away
    REFUSED = "refused"  # it never will


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a channel answers. ``bad_address``: nothing will ever reach the person there."""

    fate: Fate
    reason: str | None = None
    bad_address: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message on its way: to which address, from which platform, under which name.

    ``reference`` is the same at each attempt, so that what arrives twice is known to be one.
    """

    reference: str
    address: str
    recipient: Recipient
    sender: str
    written: Written


class Channel(Protocol):
    """A way to a person. Called outside of any transaction; it answers, and raises nothing."""

    def send(self, envelope: Envelope) -> Outcome:
        """Try once to send the message."""
        ...
