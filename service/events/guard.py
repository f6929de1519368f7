"""Where a platform's webhooks may go: public addresses, by HTTPS.

Whoever registers an address chooses where our machine connects to. So an address is checked when it
is registered, and again, resolved once, at each connection, which is then made to the very address
that was checked: a name that answers differently a moment later gains nothing (DNS rebinding).
The TLS server name and the Host header stay the name's. Redirects are not followed, and proxies of
the environment are not used.

The networks are those that IANA's registries of special-purpose addresses (RFC 6890) call not
globally reachable, with multicast, and every form of IPv6 that carries an IPv4 address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import httpcore

from ledger.refusals import Refusal
from service.events.lookups import Lookups

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Returns the addresses of a host, as text, for a platform. Raises OSError when it has none.
Resolve = Callable[[str, int, UUID], Awaitable[Sequence[str]]]

LONGEST_URL: Final = 2_000
#: How many names are looked up at a time, and for one platform.
_RESOLVERS: Final = 256
_RESOLVERS_EACH: Final = 8
#: How long whoever registers an address waits for its name to resolve.
_PATIENCE_SECONDS: Final = 5.0
#: How many addresses of a name are tried.
_MOST_TRIES: Final = 4
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")

_CLOSED_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' NAT
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, and the clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_CLOSED_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "::/96",  # unspecified, loopback, and IPv4-compatible
            "64:ff9b:1::/48",  # NAT64 of one's own network
            "100::/64",  # discarded
            "2001::/23",  # protocol assignments, with Teredo
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address behind a relay
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing
            "fc00::/7",  # unique local, and a cloud's metadata at fd00:ec2::254
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",  # multicast
        ),
    )
)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_METADATA_6: Final = ipaddress.IPv6Address("fd00:ec2::254")
_TRANSLATED: Final = (
    ipaddress.IPv6Network("::ffff:0:0:0/96"),
    ipaddress.IPv6Network("64:ff9b::/96"),
)


class AddressRefused(Refusal):
    """Webhooks are not sent to this address."""

    code = "webhook_address_refused"


class Forbidden(httpcore.ConnectError):
    """A name led to an address that is not connected to."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, whatever it is written as."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    if address.scope_id is not None:
        return False
    if any(address in network for network in (_MAPPED, *_TRANSLATED)):
        return is_public(ipaddress.IPv4Address(address.packed[-4:]))
    return not any(address in network for network in _CLOSED_V6)


def _is_sendable(address: Address) -> bool:
    """Where even a developer's webhooks go: to one machine, and to none that tells of itself.

    Clouds answer for a machine's own credentials at link-local addresses, and at one of IPv6.
    """
    seen = getattr(address, "ipv4_mapped", None) or address
    return not (
        seen.is_multicast or seen.is_unspecified or seen.is_link_local or seen == _METADATA_6
    )


def _ask(host: str, port: int) -> list[str]:
    """Return what the machine's resolver says of a host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a name that no server could be asked about
        raise OSError("not a name") from error
    return list(dict.fromkeys(str(line[4][0]) for line in found))


_lookups: Final = Lookups(_ask, _RESOLVERS, _RESOLVERS_EACH)


class Guard:
    """Checks addresses for one instance."""

    def __init__(self, allow_private: bool = False, resolver: Resolve = _lookups.resolve) -> None:
        """Take whether the operator allows private addresses and plain HTTP, for development."""
        self._allow_private = allow_private
        self._resolve = resolver

    async def check(self, url: str, whose: UUID) -> None:
        """Check an address that a platform registers, its form and where its name leads now.

        Raises:
            AddressRefused
        """
        host, port = self.check_form(url)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.addresses(host, port, whose)
        except Forbidden as error:
            raise _refused(str(error)) from None
        except OSError:  # a TimeoutError is one
            raise _refused("The name of its host does not resolve.") from None

    def check_form(self, url: str) -> tuple[str, int]:
        """Check what an address says by itself; return its host and port.

        Raises:
            AddressRefused
        """
        if len(url) > LONGEST_URL:
            raise _refused(f"It is longer than {LONGEST_URL} characters.")
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise _refused("It has characters that no address has; write names as xn--….")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _refused("It is no address.") from None
        schemes = {"https", "http"} if self._allow_private else {"https"}
        if parts.scheme not in schemes:
            raise _refused(
                "It has to begin with https://. (On a developer's own machine "
                "TIERCE_WEBHOOKS_ALLOW_PRIVATE=true lets http:// and private addresses in.)"
            )
        if "@" in parts.netloc:
            raise _refused("It must not carry a name or a password.")
        if parts.fragment or url.endswith("#"):
            raise _refused("It must not have a part after #.")
        if not host or port == 0 or not _HOST.fullmatch(_bare(parts.netloc)):
            raise _refused("It names no host.")
        return host, port or (443 if parts.scheme == "https" else 80)

    async def addresses(self, host: str, port: int, whose: UUID) -> Sequence[str]:
        """Return the addresses that a host may be connected at for a platform: all, or none.

        Raises:
            Forbidden: one of them is not of the public internet.
            OSError: it has none.
        """
        try:
            found: Iterable[str] = [str(ipaddress.ip_address(host))]
        except ValueError:
            found = await self._resolve(host, port, whose)
        addresses = [ipaddress.ip_address(one) for one in found]
        if not addresses:
            raise OSError(f"{host} has no address")
        allowed = _is_sendable if self._allow_private else is_public
        if not all(map(allowed, addresses)):
            raise Forbidden("Its host is not on the public internet.")
        return [str(one) for one in addresses[:_MOST_TRIES]]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects for httpcore and a platform, only to what the guard lets pass."""

    def __init__(self, guard: Guard, whose: UUID) -> None:
        self._guard = guard
        self._whose = whose
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve once, check, and connect to what was checked.

        Raises:
            Forbidden: the host leads to where nothing is sent.
            httpcore.ConnectError, httpcore.ConnectTimeout: it cannot be reached.
        """
        try:
            addresses = await self._guard.addresses(host, port, self._whose)
        except OSError as error:
            raise httpcore.ConnectError("the name of the host does not resolve") from error
        for number, address in enumerate(addresses, start=1):
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("there is an address, and each returns or raises")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def _bare(netloc: str) -> str:
    """Return the host of a network location as it is written, without its port."""
    if netloc.startswith("["):
        return netloc.partition("]")[0] + "]"
    return netloc.rpartition(":")[0] if ":" in netloc else netloc


def _refused(why: str) -> AddressRefused:
    return AddressRefused(f"Webhooks are not sent to this address. {why}", pointer="/url")
