"""Payers whom a provider knows: only those who agreed to have their payment method kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, select, text

from service.payments.payee_tables import provider_customer


@dataclass(frozen=True, slots=True)
class Customer:
    """A payer at a provider; ``saved_method`` can be charged again, if there is one."""

    member_id: UUID
    customer_ref: str
    saved_method: str | None


def customer(
    connection: Connection, platform_id: UUID, member_id: UUID, provider: str
) -> Customer | None:
    """Return the member as a customer of ``provider``, or None if they are not known there."""
    row = connection.execute(
        select(
            provider_customer.c.member_id,
            provider_customer.c.customer_ref,
            provider_customer.c.saved_method,
        ).where(
            provider_customer.c.platform_id == platform_id,
            provider_customer.c.member_id == member_id,
            provider_customer.c.provider == provider,
        )
    ).one_or_none()
    return None if row is None else Customer(*row)


_REMEMBER: Final = text(
    "INSERT INTO service.provider_customer AS c (platform_id, member_id, provider, customer_ref, "
    "saved_method, agreed_at, seen_at) "
    "SELECT platform_id, id, :provider, :customer_ref, :saved_method, :now, :now "
    "FROM service.member WHERE platform_id = :platform_id AND id = :member_id "
    # What is told of somebody who has gone meanwhile is not kept.
    "AND erased_at IS NULL FOR KEY SHARE "
    "ON CONFLICT (platform_id, member_id, provider) DO UPDATE SET "
    "customer_ref = EXCLUDED.customer_ref, "
    "saved_method = coalesce(EXCLUDED.saved_method, c.saved_method), seen_at = EXCLUDED.seen_at"
)


def remember_customer(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    provider: str,
    customer_ref: str,
    saved_method: str | None,
    now: datetime,
) -> None:
    """Keep a payer's customer and method, to which they agreed; None leaves the method as it is."""
    connection.execute(
        _REMEMBER,
        {
            "platform_id": platform_id,
            "member_id": member_id,
            "provider": provider,
            "customer_ref": customer_ref,
            "saved_method": saved_method,
            "now": now,
        },
    )


def forget_customer(
    connection: Connection, platform_id: UUID, member_id: UUID, provider: str | None = None
) -> int:
    """Forget the member as a customer, at one provider or at all; return how many were forgotten.

    What the provider itself keeps is not touched here.
    """
    query = delete(provider_customer).where(
        provider_customer.c.platform_id == platform_id,
        provider_customer.c.member_id == member_id,
    )
    if provider is not None:
        query = query.where(provider_customer.c.provider == provider)
    return connection.execute(query).rowcount
