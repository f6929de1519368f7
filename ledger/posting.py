"""Post to the books: a list of postings, one call of one SQL function, a status for each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from ledger.refusals import AlreadyReversed, InvalidPosting, PostingNotFound

MOST_AMOUNT: Final = 2**63 - 1
_PATH: Final = re.compile(
    r"(hold|member|transit|platform|provider|receivable|expense|suspense)"
    r"(:[A-Za-z0-9_.-]{1,80}){0,3}"
)
_KIND: Final = re.compile(r"[a-z_]{1,40}")
_UNIT: Final = re.compile(r"[A-Z][A-Z0-9_]{2,11}")


@dataclass(frozen=True, slots=True)
class Transfer:
    """``amount`` minor units of ``unit`` out of the account ``debit`` into ``credit`` (paths)."""

    debit: str
    credit: str
    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Posting:
    """A balanced ledger transaction. ``key`` is what it is done once by, on its platform."""

    key: str
    kind: str
    transfers: tuple[Transfer, ...]
    reference: str | None = None


class Status(StrEnum):
    """What became of a posting."""

    CREATED = "created"
    EXISTS = "exists"  # the same key and content before: nothing done
    DIFFERS = "differs"  # the same key with other content before: nothing done
    BREAKS_FLOOR = "breaks_floor"  # an account would fall below its floor: nothing done
    OUT_OF_RANGE = "out_of_range"  # a balance would leave BIGINT: nothing done


@dataclass(frozen=True, slots=True)
class Outcome:
    """``posting_id`` is the posting under the key, new or old; ``account`` whose floor refused."""

    status: Status
    posting_id: UUID | None
    account: str | None = None


_POST: Final = text(
    "SELECT ordinal, status, posting_id, account FROM ledger.post(:platform_id, :now, :ids, :keys, "
    ":hashes, :kinds, :references, :reverses, CAST(:ordinals AS integer[]), :debits, :credits, "
    "CAST(:amounts AS bigint[]), :units) ORDER BY ordinal"
)


def content_hash(posting: Posting, reverses: UUID | None = None) -> bytes:
    """Return the SHA-256 of what a posting says; ``ledger.audit`` computes the same in SQL."""
    head = (posting.kind, posting.reference or "", "" if reverses is None else str(reverses))
    lines = (f"{t.debit}|{t.credit}|{t.amount}|{t.unit}" for t in posting.transfers)
    return hashlib.sha256("\n".join((*head, *lines)).encode()).digest()


def post(
    connection: Connection, platform_id: UUID, postings: Sequence[Posting], now: datetime
) -> list[Outcome]:
    """Post ``postings`` in the caller's transaction; answer one outcome each, in order.

    A posting that breaks a floor leaves no trace and does not touch the others.

    Raises:
        InvalidPosting: one is malformed; nothing was posted.
    """
    return _post(connection, platform_id, postings, [None] * len(postings), now)


def _post(
    connection: Connection,
    platform_id: UUID,
    postings: Sequence[Posting],
    reverses: Sequence[UUID | None],
    now: datetime,
) -> list[Outcome]:
    if not postings:
        return []
    for posting in postings:
        _check(posting)
    flat = [(n, t) for n, posting in enumerate(postings, 1) for t in posting.transfers]
    rows = connection.execute(
        _POST,
        {
            "platform_id": platform_id,
            "now": now,
            "ids": [uuid4() for _ in postings],
            "keys": [posting.key for posting in postings],
            "hashes": [
                content_hash(posting, undone)
                for posting, undone in zip(postings, reverses, strict=True)
            ],
            "kinds": [posting.kind for posting in postings],
            "references": [posting.reference for posting in postings],
            "reverses": list(reverses),
            "ordinals": [n for n, _ in flat],
            "debits": [t.debit for _, t in flat],
            "credits": [t.credit for _, t in flat],
            "amounts": [t.amount for _, t in flat],
            "units": [t.unit for _, t in flat],
        },
    ).all()
    return [Outcome(Status(row.status), row.posting_id, row.account) for row in rows]


def _check(posting: Posting) -> None:
    if not posting.transfers:
        raise InvalidPosting(f"Posting {posting.key} moves nothing.")
    key = posting.key
    if not (1 <= len(key) <= 200 and key.isprintable() and _KIND.fullmatch(posting.kind)):
        raise InvalidPosting(f"Posting {posting.key!r}: key or kind out of bounds.")
    if posting.reference is not None and not (
        len(posting.reference) <= 200 and posting.reference.isprintable()
    ):
        raise InvalidPosting(f"Posting {posting.key}: the reference is not printable text.")
    for transfer in posting.transfers:
        if isinstance(transfer.amount, bool) or not isinstance(transfer.amount, int):
            raise InvalidPosting(f"Posting {posting.key}: an amount is an integer.")
        if not 1 <= transfer.amount <= MOST_AMOUNT:
            raise InvalidPosting(f"Posting {posting.key}: an amount is 1 to {MOST_AMOUNT}.")
        if not _UNIT.fullmatch(transfer.unit):
            raise InvalidPosting(f"Posting {posting.key}: no unit has the code {transfer.unit!r}.")
        if transfer.debit == transfer.credit:
            raise InvalidPosting(f"Posting {posting.key}: {transfer.debit} to itself.")
        for path in (transfer.debit, transfer.credit):
            if not _PATH.fullmatch(path):
                raise InvalidPosting(f"Posting {posting.key}: no account can be named {path!r}.")


def reverse(
    connection: Connection, platform_id: UUID, key: str, new_key: str, now: datetime
) -> Outcome:
    """Undo the posting ``key`` by its mirror image, linked to it, under ``new_key``.

    The same call again answers ``exists``. A floor can refuse it, as any posting.

    Raises:
        PostingNotFound: the books have no posting ``key``.
        AlreadyReversed: it was undone under another key.
    """
    rows = connection.execute(
        text(
            "SELECT b.id, b.reference, d.path AS debit, c.path AS credit, t.amount, t.unit, "
            "  (SELECT r.key FROM ledger.posting r WHERE r.platform_id = b.platform_id "
            "   AND r.reverses = b.id) AS undone_by "
            "FROM ledger.posting b "
            "JOIN ledger.transfer t ON t.platform_id = b.platform_id AND t.posting_id = b.id "
            "JOIN ledger.account d ON d.platform_id = t.platform_id AND d.id = t.debit_account "
            "JOIN ledger.account c ON c.platform_id = t.platform_id AND c.id = t.credit_account "
            "WHERE b.platform_id = :platform_id AND b.key = :key ORDER BY t.id"
        ),
        {"platform_id": platform_id, "key": key},
    ).all()
    if not rows:
        raise PostingNotFound(f"There is no posting {key}.")
    if rows[0].undone_by not in {None, new_key}:
        raise AlreadyReversed(f"Posting {key} was reversed by {rows[0].undone_by}.")
    mirror = Posting(
        new_key,
        "reversal",
        tuple(Transfer(row.credit, row.debit, row.amount, row.unit) for row in reversed(rows)),
        rows[0].reference,
    )
    try:
        with connection.begin_nested():
            (outcome,) = _post(connection, platform_id, [mirror], [rows[0].id], now)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and rows[0].undone_by is None:
            # Somebody undid it since it was read above: look again at who.
            return reverse(connection, platform_id, key, new_key, now)
        raise
    return outcome
