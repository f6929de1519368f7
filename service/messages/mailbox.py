"""The mailbox of a development machine and of sandboxes: what is sent there reaches no person."""

from __future__ import annotations

from service.messages.port import Envelope, Fate, Outcome


class Mailbox:
    """Takes everything. What it holds is the stored text of messages whose channel it was."""

    def send(self, envelope: Envelope) -> Outcome:  # noqa: ARG002 - its text is stored already
        """Answer that the message is there."""
        return Outcome(Fate.SENT)
