"""The sandbox provider's accounts of payees: opened wanting something, ready once that was told.

What the payee would do on a real provider's pages, and the provider and the bank by themselves, is
done here on demand. This is the memory of a company elsewhere (``service.sandbox_*``): nothing of
ours refers to it, and it is never reached from inside one of our transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from service import db
from service.payments.port import Account, BankPayout, ProviderRefused, Status, Topic
from service.payments.sandbox_events import SandboxTime, tell
from service.platforms import clocks

#: What a new account still wants, by the names that Stripe uses.
WANTED: Final = (
    "external_account",
    "individual.dob.day",
    "individual.dob.month",
    "individual.dob.year",
    "individual.first_name",
    "individual.last_name",
    "tos_acceptance.date",
)
#: What is wanted when a rehearsal says nothing else.
_MORE: Final = ("individual.verification.document",)
#: The sandbox opens no account there, so that a refusal can be rehearsed: "unknown", ISO 3166-1.
NO_ACCOUNTS_IN: Final = "ZZ"

Outcome = Literal["complete", "require", "disable"]


def open_account(
    connection: Connection, platform_id: UUID, member_id: UUID, facts: Mapping[str, str]
) -> Account:
    """Open the member's account, or answer the one that is there.

    Raises:
        ProviderRefused: not in this country, or the member came with another one before.
    """
    country = facts["country"]
    if country == NO_ACCOUNTS_IN:
        raise ProviderRefused("country_unsupported", "The sandbox opens no accounts there.")
    ref = f"sb_account_{member_id.hex}"
    connection.execute(
        text(
            "INSERT INTO service.sandbox_account (platform_id, ref, member_id, country, due) "
            "VALUES (:platform_id, :ref, :member_id, :country, :due) ON CONFLICT DO NOTHING"
        ),
        {
            "platform_id": platform_id,
            "ref": ref,
            "member_id": member_id,
            "country": country,
            "due": list(WANTED),
        },
    )
    row = _read(connection, platform_id, ref)
    if row["country"] != country:
        raise ProviderRefused("key_reused", "This member came with another country before.")
    return _account(row)


def retrieve(connection: Connection, platform_id: UUID, ref: str, now: datetime) -> Account:
    """Read an account as it is now.

    Raises:
        ProviderRefused: there is none.
    """
    expire(connection, now, platform_id)
    return _account(_read(connection, platform_id, ref))


def link(connection: Connection, platform_id: UUID, ref: str, return_url: str) -> str:
    """Return where the payee goes: straight back, for the sandbox has no pages of its own.

    As with a real provider, coming back does not say that anything was told; :func:`act` does.

    Raises:
        ProviderRefused: there is no such account.
    """
    _read(connection, platform_id, ref)
    return return_url


def act(
    connection: Connection,
    platform_id: UUID,
    ref: str,
    outcome: Outcome,
    now: datetime,
    due: Sequence[str] | None = None,
    due_by: datetime | None = None,
) -> Account:
    """Let the payee tell all, or the provider want more or stop the account; and tell of it.

    ``complete`` makes it ready. ``require`` wants ``due`` by ``due_by``: until then it stays as it
    is; without a date, or after it, it is not ready. ``disable`` stops it for good.

    Raises:
        ProviderRefused: there is no such account.
    """
    before = _read(connection, platform_id, ref)
    waits = outcome == "require" and due_by is not None and due_by > now
    values: dict[str, Any] = {
        "ready": outcome == "complete" or (waits and before["ready"]),
        "bank_ready": outcome == "complete" or (waits and before["bank_ready"]),
        "submitted": outcome == "complete" or before["submitted"],
        "due": list(due or _MORE) if outcome == "require" else [],
        "due_by": due_by if outcome == "require" else None,
        "disabled_reason": {
            "complete": None,
            "require": None if waits else "requirements.past_due",
            "disable": "rejected.other",
        }[outcome],
    }
    connection.execute(
        text(
            "UPDATE service.sandbox_account SET ready = :ready, bank_ready = :bank_ready, "
            "submitted = :submitted, due = :due, due_by = :due_by, "
            "disabled_reason = :disabled_reason WHERE platform_id = :platform_id AND ref = :ref"
        ),
        {"platform_id": platform_id, "ref": ref, **values},
    )
    _told(connection, platform_id, ref, now)
    return _account(_read(connection, platform_id, ref))


_EXPIRE: Final = clocks.swept(
    "sandbox_account.platform_id",
    "UPDATE service.sandbox_account SET ready = false, bank_ready = false, "
    "disabled_reason = 'requirements.past_due' WHERE (platform_id, ref) IN ("
    " SELECT platform_id, ref FROM service.sandbox_account WHERE ready AND due_by <= :now"
    " AND {of_scope}"
    " ORDER BY due_by LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING platform_id, ref",
)


def expire(connection: Connection, now: datetime, only: UUID | None) -> None:
    """Stop the accounts whose payees did not tell in time what was wanted; and tell of it.

    Of one platform, or of all that have no clock of their own.
    """
    late = connection.execute(_EXPIRE, {"now": now, "only": only}).all()
    for row in sorted(late, key=attrgetter("ref")):
        _told(connection, row.platform_id, row.ref, now)


def _told(connection: Connection, platform_id: UUID, ref: str, now: datetime) -> None:
    kind = "account.updated"
    tell(connection, platform_id, ref, kind, now, topic=Topic.ACCOUNT, account=ref)


def send_to_bank(
    connection: Connection,
    platform_id: UUID,
    ref: str,
    amount: int,
    unit: str,
    outcome: Literal["paid", "failed"],
    key: str,
    now: datetime,
) -> BankPayout:
    """Let money of an account reach the payee's bank, or come back from it; and tell of it.

    ``amount``: minor units of ``unit``. The same ``key`` again answers the same payout.

    Raises:
        ProviderRefused: there is no such account, its bank is not known yet, or the key came with
            something else before.
    """
    if not _read(connection, platform_id, ref)["bank_ready"]:
        raise ProviderRefused("no_bank", "The account has no bank to pay to yet.")
    payout = BankPayout(
        ref=f"sb_bank_{hashlib.sha256(f'{ref}|{key}'.encode()).hexdigest()[:32]}",
        account_ref=ref,
        status=Status.SUCCEEDED if outcome == "paid" else Status.FAILED,
        amount=amount,
        unit=unit,
        arrives_at=now,
        failure=None if outcome == "paid" else "account_closed",
    )
    made = connection.execute(
        text(
            "INSERT INTO service.sandbox_bank_payout (platform_id, ref, account_ref, status, "
            "amount, unit, arrives_at, failure) VALUES (:platform_id, :ref, :account_ref, "
            ":status, :amount, :unit, :arrives_at, :failure) ON CONFLICT DO NOTHING"
        ),
        {
            "platform_id": platform_id,
            "ref": payout.ref,
            "account_ref": ref,
            "status": payout.status,
            "amount": amount,
            "unit": unit,
            "arrives_at": now,
            "failure": payout.failure,
        },
    )
    if made.rowcount == 0:
        first = retrieve_bank_payout(connection, platform_id, ref, payout.ref)
        if replace(first, arrives_at=now) != payout:
            raise ProviderRefused("key_reused", "This key came with another payout before.")
        return first
    kind = f"payout.{outcome}"
    tell(connection, platform_id, payout.ref, kind, now, topic=Topic.BANK, account=ref)
    return payout


def retrieve_bank_payout(
    connection: Connection, platform_id: UUID, account_ref: str, ref: str
) -> BankPayout:
    """Read a payout to a bank.

    Raises:
        ProviderRefused: the account has none of this name.
    """
    row = (
        connection.execute(
            text(
                "SELECT ref, account_ref, status, amount, unit, arrives_at, failure "
                "FROM service.sandbox_bank_payout WHERE platform_id = :platform_id "
                "AND account_ref = :account_ref AND ref = :ref"
            ),
            {"platform_id": platform_id, "account_ref": account_ref, "ref": ref},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise ProviderRefused("unknown_object", "The sandbox knows no such payout to a bank.")
    return BankPayout(**{**row, "status": Status(row["status"])})


def _read(connection: Connection, platform_id: UUID, ref: str) -> RowMapping:
    row = (
        connection.execute(
            text(
                "SELECT ref, country, ready, bank_ready, submitted, due, due_by, disabled_reason "
                "FROM service.sandbox_account WHERE platform_id = :platform_id AND ref = :ref "
                "FOR UPDATE"
            ),
            {"platform_id": platform_id, "ref": ref},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise ProviderRefused("unknown_object", "The sandbox knows no such account.")
    return row


def _account(row: RowMapping) -> Account:
    return Account(
        ref=row["ref"],
        ready=row["ready"],
        bank_ready=row["bank_ready"],
        submitted=row["submitted"],
        due=tuple(row["due"]),
        due_by=row["due_by"],
        disabled_reason=row["disabled_reason"],
    )


class SandboxAccounts(SandboxTime):
    """The part of the sandbox provider that is about payees' accounts."""

    def open_account(self, platform_id: UUID, member_id: UUID, facts: Mapping[str, str]) -> Account:
        """Open a payee's account, or answer the one that is there."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            return open_account(connection, platform_id, member_id, facts)

    def account_link(
        self,
        platform_id: UUID,
        ref: str,
        return_url: str,
        refresh_url: str,  # noqa: ARG002 - a page that does not exist cannot be too old
    ) -> str:
        """Return the address where a payee would tell what is wanted: see :func:`link`."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            return link(connection, platform_id, ref, return_url)

    def retrieve_account(self, platform_id: UUID, ref: str) -> Account:
        """Read a payee's account."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            return retrieve(connection, platform_id, ref, self._now(connection, platform_id))

    def retrieve_bank_payout(self, platform_id: UUID, account_ref: str, ref: str) -> BankPayout:
        """Read a payout from a payee's account to their bank."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            return retrieve_bank_payout(connection, platform_id, account_ref, ref)

    def act_on_account(
        self,
        platform_id: UUID,
        ref: str,
        outcome: Outcome,
        due: Sequence[str] | None = None,
        due_by: datetime | None = None,
    ) -> Account:
        """Do what a payee, or a provider by itself, would do: see :func:`act`."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            return act(connection, platform_id, ref, outcome, now, due, due_by)

    def send_to_bank(
        self,
        platform_id: UUID,
        ref: str,
        amount: int,
        unit: str,
        outcome: Literal["paid", "failed"],
        key: str,
    ) -> BankPayout:
        """Let money of an account reach a bank, or come back: see :func:`send_to_bank`."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            return send_to_bank(connection, platform_id, ref, amount, unit, outcome, key, now)
