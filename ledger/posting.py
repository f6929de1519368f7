"""Post to the books: a list of postings, one call of one SQL function, a status for each."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

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
_MOVE: Final = re.compile(rf"{_PATH.pattern}\|{_PATH.pattern}\|{_UNIT.pattern}")


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
    "SELECT ordinal, status, posting_id, account FROM ledger.post(:platform_id, :now, "
    "CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:hashes AS bytea[]), "
    "CAST(:kinds AS text[]), CAST(:references AS text[]), CAST(:reverses AS uuid[]), "
    "CAST(:ordinals AS integer[]), CAST(:debits AS text[]), CAST(:credits AS text[]), "
    "CAST(:amounts AS bigint[]), CAST(:units AS text[]))"
)
#: One posting of one transfer: the same without lists. False: not created, and _POST says why.
_POST_ONE: Final = text(
    "SELECT ledger.post_one(:platform_id, :now, :id, :key, :hash, :kind, :reference, :reverses, "
    ":debit, :credit, :amount, :unit)"
)


def content_hash(posting: Posting, reverses: UUID | None = None) -> bytes:
    """Return the SHA-256 of what a posting says; ``ledger.audit`` computes the same in SQL."""
    said = f"{posting.kind}\n{posting.reference or ''}\n{'' if reverses is None else reverses}"
    for t in posting.transfers:
        said += f"\n{t.debit}|{t.credit}|{t.amount}|{t.unit}"
    return hashlib.sha256(said.encode()).digest()


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
    ids = _new_ids(len(postings))
    if len(postings) == 1 and len(postings[0].transfers) == 1:
        one, transfer = postings[0], postings[0].transfers[0]
        values = {
            "platform_id": platform_id,
            "now": now,
            "id": ids[0],
            "key": one.key,
            "hash": content_hash(one, reverses[0]),
            "kind": one.kind,
            "reference": one.reference,
            "reverses": reverses[0],
            "debit": transfer.debit,
            "credit": transfer.credit,
            "amount": transfer.amount,
            "unit": transfer.unit,
        }
        if connection.execute(_POST_ONE, values).scalar_one():
            return [Outcome(Status.CREATED, ids[0])]
    transfers = [t for posting in postings for t in posting.transfers]
    ordinals = [n for n, posting in enumerate(postings, 1) for _ in posting.transfers]
    values = {
        "platform_id": platform_id,
        "now": now,
        "ids": f"{{{','.join([f'{one.int:032x}' for one in ids])}}}",
        "keys": _array([posting.key for posting in postings]),
        "hashes": _hashes(map(content_hash, postings, reverses)),
        "kinds": _array([posting.kind for posting in postings]),
        "references": _array([posting.reference for posting in postings]),
        "reverses": _array([None if one is None else str(one) for one in reverses]),
        "ordinals": f"{{{','.join(map(str, ordinals))}}}",
        "debits": _array([t.debit for t in transfers]),
        "credits": _array([t.credit for t in transfers]),
        "amounts": f"{{{','.join([str(t.amount) for t in transfers])}}}",
        "units": _array([t.unit for t in transfers]),
    }
    outcomes = [Outcome(Status.CREATED, one) for one in ids]
    for row in connection.execute(_POST, values):
        outcomes[row.ordinal - 1] = Outcome(Status(row.status), row.posting_id, row.account)
    return outcomes


def _new_ids(count: int) -> list[UUID]:
    """Return UUIDv7s that count up from a random one (RFC 9562, 6.2: a counter).

    What is written together stands together in the indexes, and one draw serves a list.
    """
    milliseconds = time.time_ns() // 1_000_000
    first = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0x2 << 62
    counter = secrets.randbits(61)
    return [UUID(int=first | counter + step) for step in range(count)]


def _array(values: Sequence[str | None]) -> str:
    """Return texts as PostgreSQL writes an array; a driver's own way costs several times more."""
    if values.count(None) == len(values):
        return f"{{{','.join(['NULL'] * len(values))}}}"
    if None not in values:
        plain = '","'.join(values)  # type: ignore[arg-type] # checked in the line before
        if "\\" not in plain and plain.count('"') == 2 * len(values) - 2:
            return f'{{"{plain}"}}'
    return f"{{{','.join([_element(value) for value in values])}}}"


def _element(value: str | None) -> str:
    if value is None:
        return "NULL"
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _hashes(values: Iterable[bytes]) -> str:
    """Return hashes as PostgreSQL writes an array of them."""
    return '{"' + '","'.join([rf"\\x{value.hex()}" for value in values]) + '"}'


def _check(posting: Posting) -> None:
    key, reference = posting.key, posting.reference
    if not posting.transfers:
        raise InvalidPosting(f"Posting {key} moves nothing.")
    if not (1 <= len(key) <= 200 and key.isprintable() and _KIND.fullmatch(posting.kind)):
        raise InvalidPosting(f"Posting {key!r}: key or kind out of bounds.")
    if reference is not None and not (len(reference) <= 200 and reference.isprintable()):
        raise InvalidPosting(f"Posting {key}: the reference is not printable text.")
    for one in posting.transfers:
        # One match for all three; what is wrong is looked for only when something is.
        if not (
            type(one.amount) is int
            and 1 <= one.amount <= MOST_AMOUNT
            and one.debit != one.credit
            and _MOVE.fullmatch(f"{one.debit}|{one.credit}|{one.unit}")
        ):
            raise InvalidPosting(f"Posting {key}: {_what_is_wrong(one)}")


def _what_is_wrong(transfer: Transfer) -> str:
    if type(transfer.amount) is not int:
        return "an amount is an integer."
    if not 1 <= transfer.amount <= MOST_AMOUNT:
        return f"an amount is 1 to {MOST_AMOUNT}."
    if not _UNIT.fullmatch(transfer.unit):
        return f"no unit has the code {transfer.unit!r}."
    if transfer.debit == transfer.credit:
        return f"{transfer.debit} to itself."
    wrong = transfer.credit if _PATH.fullmatch(transfer.debit) else transfer.debit
    return f"no account can be named {wrong!r}."


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
