"""What an API key may be allowed to do: a closed list."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ledger.refusals import Refusal

SCOPES: Final = (
    "keys:read",
    "keys:write",
    "members:read",
    "members:write",
    "members:act",
    "exchanges:read",
    "exchanges:write",
    "payments:read",
    "payments:write",
    "chargebacks:read",
    "chargebacks:write",
    "cases:read",
    "cases:write",
    "payees:read",
    "payees:write",
    "books:read",
    "books:write",
    "units:write",
    "events:read",
    "webhooks:read",
    "webhooks:write",
    "messages:read",
    "messages:write",
    "providers:read",
    "providers:write",
    "sandbox:read",
    "sandbox:write",
    "operations:read",
    "operations:write",
)
#: What a member's own token allows, always on their own exchanges and payout account alone.
MEMBER_SCOPES: Final = frozenset(
    {
        "exchanges:read",
        "exchanges:write",
        "payments:read",
        "cases:read",
        "cases:write",
        "payees:read",
        "payees:write",
    }
)


class UnknownScope(Refusal):
    """A scope that does not exist."""

    code = "unknown_scope"


def check(scopes: Collection[str]) -> list[str]:
    """Return the scopes in the order of the list.

    Raises:
        UnknownScope: one is not in the list, or there is none.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise UnknownScope(
            f"Scopes are chosen from: {', '.join(SCOPES)}.", pointer="/scopes", unknown=unknown
        )
    return [scope for scope in SCOPES if scope in scopes]
