"""Payers whom a provider knows: only those who agreed to have their payment method kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, select, text

from service import db
from service.payments.payee_tables import provider_customer


@dataclass(frozen=True, slots=True)
class Customer:
    """A payer at a provider; ``saved_method`` can be charged again, if there is one."""

    member_id: UUID
    customer_ref: str
    saved_method: str | None


def customers(
    connection: Connection, platform_id: UUID, member_ids: Collection[UUID]
) -> dict[tuple[UUID, str], Customer]:
    """Return members as customers, by member and provider, where they are known."""
    if not member_ids:
        return {}
    query = select(
        provider_customer.c.provider,
        provider_customer.c.member_id,
        provider_customer.c.customer_ref,
        provider_customer.c.saved_method,
    ).where(
        provider_customer.c.platform_id == platform_id,
        db.among(provider_customer.c.member_id, member_ids),
    )
    rows = connection.execute(query)
    return {(row.member_id, row.provider): Customer(*row[1:]) for row in rows}


@dataclass(frozen=True, slots=True)
class Known:
    """What a provider told of a payer who agreed to be kept; without a method, that stays."""

    member_id: UUID
    provider: str
    customer_ref: str
    saved_method: str | None


_REMEMBER: Final = text(
    # What is told of somebody who has gone meanwhile is not kept.
    "WITH there AS (SELECT id FROM service.member WHERE platform_id = :platform_id "
    "AND id = ANY(:members) AND erased_at IS NULL ORDER BY id FOR KEY SHARE) "
    "INSERT INTO service.provider_customer AS c (platform_id, member_id, provider, customer_ref, "
    "saved_method, agreed_at, seen_at) "
    "SELECT :platform_id, there.id, k.provider, k.customer_ref, k.saved_method, :now, :now "
    "FROM unnest(CAST(:members AS uuid[]), CAST(:providers AS text[]), CAST(:refs AS text[]), "
    "CAST(:methods AS text[])) AS k(member_id, provider, customer_ref, saved_method) "
    "JOIN there ON there.id = k.member_id ORDER BY there.id, k.provider "
    "ON CONFLICT (platform_id, member_id, provider) DO UPDATE SET "
    "customer_ref = EXCLUDED.customer_ref, "
    "saved_method = coalesce(EXCLUDED.saved_method, c.saved_method), seen_at = EXCLUDED.seen_at"
)


def remember_customers(
    connection: Connection, platform_id: UUID, known: Sequence[Known], now: datetime
) -> None:
    """Keep payers' customers and methods, to which they agreed; of one payer, the last word."""
    last: dict[tuple[UUID, str], Known] = {}
    for one in known:
        before = last.get((one.member_id, one.provider))
        kept = one.saved_method or (None if before is None else before.saved_method)
        last[one.member_id, one.provider] = replace(one, saved_method=kept)
    if not last:
        return
    values = {
        "platform_id": platform_id,
        "members": [one.member_id for one in last.values()],
        "providers": [one.provider for one in last.values()],
        "refs": [one.customer_ref for one in last.values()],
        "methods": [one.saved_method for one in last.values()],
        "now": now,
    }
    connection.execute(_REMEMBER, values)


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
