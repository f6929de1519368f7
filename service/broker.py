"""The broker as a carrier of wake-ups alone: what it loses is not missed, so nothing is kept there.

Celery's Redis transport writes down every message that a worker holds, to give it to another should
the worker die. A wake-up says only "look now", and the schedule says it again a second later: the
bookkeeping would cost several round trips for each, and a worker that is to give back what it holds
to a broker that has died ends itself. A worker must outlive its broker.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

from kombu.transport import TRANSPORT_ALIASES, redis, virtual

_TRANSPORT: Final = "service.broker:Transport"


class _Forgetful(redis.QoS):
    """Counts the messages in hand, in memory, so that a worker takes no more than it can do."""

    #: Whatever is in hand when a worker or the broker goes is gone.
    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take a message in hand."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Let a message go."""
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Let a message go. One that nobody could take is not put back either."""
        del requeue
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: there is no list of what other workers hold."""


class _Channel(redis.Channel):
    QoS = _Forgetful


class Transport(redis.Transport):
    """Kombu's Redis transport without acknowledgements."""

    Channel = _Channel


def checked(url: str) -> str:
    """Return a broker's URL under which a ``rediss://`` broker must show a certificate we believe.

    Without a word kombu believes whatever is shown. Whoever does not want that says so in the URL,
    as redis-py has it: ``?ssl_cert_reqs=none``, or ``?ssl_ca_certs=/path`` to believe others.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss" or "ssl_cert_reqs" in parse_qs(parts.query):
        return url
    query = f"{parts.query}&ssl_cert_reqs=required" if parts.query else "ssl_cert_reqs=required"
    return urlunsplit(parts._replace(query=query))


def register() -> None:
    """Let ``redis://`` and ``rediss://`` be carried by :class:`Transport` in this process.

    By the scheme, because kombu reads a URL's TLS settings by its scheme alone.
    """
    TRANSPORT_ALIASES.update(redis=_TRANSPORT, rediss=_TRANSPORT)
