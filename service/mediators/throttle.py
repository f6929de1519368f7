"""How often signing in may be tried: waits that grow, and end.

Nobody can lock a mediator out. Tries from many networks slow down strangers only: a network from
which the account was opened lately is counted by itself. Addresses without an account wait as
others do, so that a wait tells nothing.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from sqlalchemy import Connection, text

from ledger.refusals import Refusal

#: How far back failures are counted.
COUNTED: Final = timedelta(hours=24)
#: How long rows are kept, and with them which networks are known.
KEPT: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures are free; then the wait is ``first`` and doubles, up to ``longest``."""

    free: int
    first: timedelta
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        """Return how long to wait after the last of so many failures."""
        if failures < self.free:
            return timedelta(0)
        # Beyond twenty doublings the longest of every limit is reached.
        return min(self.first * (1 << min(failures - self.free, 20)), self.longest)


_MINUTE: Final = timedelta(minutes=1)
#: One account, tried from one network.
PAIR: Final = Limit(5, _MINUTE, 15 * _MINUTE)
#: One account, tried from networks that it does not know.
ACCOUNT: Final = Limit(20, _MINUTE, 60 * _MINUTE)
#: One network, trying accounts that do not know it.
NETWORK: Final = Limit(50, _MINUTE, 15 * _MINUTE)


class TooManyTries(Refusal):
    """It was tried too often; ``wait_seconds`` says when it may be tried again."""

    code = "too_many_tries"


def account_key(email: str) -> bytes:
    """Return the name under which tries for an address are counted."""
    return hashlib.sha256(email.strip().lower().encode()).digest()


def prefix(host: str | None) -> str:
    """Return the network of a client: the /24 of IPv4, the /48 of IPv6 (RFC 6177 §2)."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return "local"  # a socket of this machine
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((address.packed, 48), strict=False))
        address = address.ipv4_mapped
    return str(ip_network((address.packed, 24), strict=False))


_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_COUNT: Final = text(
    """
    WITH pair AS (
        SELECT count(*) AS failures, max(at) AS last FROM service.sign_in_try
        WHERE account = :account AND prefix = :prefix AND NOT succeeded AND at > :since
          AND id > coalesce((SELECT max(id) FROM service.sign_in_try WHERE account = :account
                             AND prefix = :prefix AND succeeded), 0)),
    account AS (
        SELECT count(*) FILTER (WHERE NOT succeeded) - count(*) FILTER (WHERE succeeded)
                   AS failures, max(at) AS last
        FROM service.sign_in_try WHERE account = :account AND at > :since),
    network AS (
        SELECT count(*) FILTER (WHERE NOT succeeded) - count(*) FILTER (WHERE succeeded)
                   AS failures, max(at) AS last
        FROM service.sign_in_try WHERE prefix = :prefix AND at > :since)
    SELECT pair.failures AS pair, pair.last AS pair_last,
           account.failures AS account, account.last AS account_last,
           network.failures AS network, network.last AS network_last,
           EXISTS (SELECT FROM service.sign_in_try WHERE account = :account
                   AND prefix = :prefix AND succeeded AND at > :known_since) AS is_known
    FROM pair, account, network
    """
)
_RECORD: Final = text(
    "INSERT INTO service.sign_in_try (at, account, prefix, succeeded) "
    "VALUES (:now, :account, :prefix, :succeeded)"
)


def claim(connection: Connection, account: bytes, prefix: str, now: datetime) -> None:
    """Take one try, which counts as failed unless :func:`succeeded` follows.

    Counted before the password is looked at: many tries at once are so many tries.

    Raises:
        TooManyTries: it is too early for another; that itself counts for nothing.
    """
    # Always in this order: those who try wait for each other and never in a circle.
    for name in (f"sign-in account {account.hex()}", f"sign-in network {prefix}"):
        connection.execute(_LOCK, {"name": name})
    values = {"account": account, "prefix": prefix, "since": now - COUNTED}
    seen = connection.execute(_COUNT, {**values, "known_since": now - KEPT}).one()
    limits = [(PAIR, seen.pair, seen.pair_last)]
    if not seen.is_known:
        limits.append((ACCOUNT, seen.account, seen.account_last))
        limits.append((NETWORK, seen.network, seen.network_last))
    # Where there is no wait the last try does not matter: its clock may be ahead of this one's.
    waits = [
        last + wait - now
        for limit, failures, last in limits
        if (wait := limit.wait(failures)) > timedelta(0)
    ]
    longest = max(waits, default=timedelta(0))
    if longest > timedelta(0):
        seconds = math.ceil(longest.total_seconds())
        raise TooManyTries(f"Try again in {seconds} seconds.", wait_seconds=seconds)
    _record(connection, account, prefix, now, is_success=False)


def succeeded(connection: Connection, account: bytes, prefix: str, now: datetime) -> None:
    """Record that the try got in: its network is known to the account from here on."""
    _record(connection, account, prefix, now, is_success=True)


def _record(
    connection: Connection, account: bytes, prefix: str, now: datetime, *, is_success: bool
) -> None:
    values = {"now": now, "account": account, "prefix": prefix, "succeeded": is_success}
    connection.execute(_RECORD, values)
