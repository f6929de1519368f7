"""SMS, as lines of the log: nobody's telephone rings.

It is for machines where messages are looked at, and is used only with ``TIERCE_SMS=log``. Without
it a member who prefers SMS gets e-mail. A real one is a class with the same ``send`` (say, a POST
to a gateway, its temporary errors answered by :attr:`Fate.LATER`, a number that does not exist by
:attr:`Fate.REFUSED` with ``bad_address``), named in ``service/messages/channels.py``.
"""

from __future__ import annotations

import structlog

from service.messages.port import Envelope, Fate, Outcome

_log = structlog.get_logger(__name__)


class LoggedSms:
    """Writes that a message would have gone, without the number and without a word of it."""

    def send(self, envelope: Envelope) -> Outcome:
        """Log the message."""
        _log.info("sms", message=envelope.reference, letters=len(envelope.written.subject))
        return Outcome(Fate.SENT)
