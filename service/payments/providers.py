"""The providers that this process can reach, by name, and which one a platform uses."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from service.payments import connections
from service.payments.port import NoProvider, Provider


class Providers:
    """A closed set of providers, built once at start."""

    def __init__(self, *providers: Provider) -> None:
        self._by_name: Mapping[str, Provider] = {one.name: one for one in providers}

    def __getitem__(self, name: str) -> Provider:
        """Return the provider of this name; a name in our own rows always has one."""
        return self._by_name[name]

    def of(self, connection: Connection, platform_id: UUID, mode: str) -> Provider | None:
        """Return the provider of new payments: Stripe if the platform has connected it.

        Without a connection a sandbox uses the sandbox provider, and a live platform has none.
        """
        if connections.exists(connection, platform_id):
            return self._by_name[connections.STRIPE]
        return self._by_name.get("sandbox") if mode == "sandbox" else None


def need(provider: Provider | None) -> Provider:
    """Return the provider, or refuse.

    Raises:
        NoProvider: the platform has none connected.
    """
    if provider is None:
        raise NoProvider(
            "Money legs need a payment provider; none is connected to this platform. Connect one "
            "(PUT /v1/provider-connections/stripe), use its sandbox, or legs in a community unit."
        )
    return provider
