"""Ledger paths and references as the API speaks them: with public ids instead of bare UUIDs.

The books know ``member:0193…`` and ``exchange:0193…``; callers see ``member:mb_…`` and
``exchange:ex_…``, the ids they have from everywhere else, and may send them back.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from service.ids import decode, encode

#: What the id behind the first colon of a path or reference is the id of.
_KINDS: Final = {
    "member": "member",
    "hold": "leg",
    "receivable": "exchange",
    "transit": "payment",
    "payment": "payment",
    "exchange": "exchange",
    "difference": "difference",
}


def public(path: str) -> str:
    """Return a path of the books as it is shown."""
    head, _, tail = path.partition(":")
    if head not in _KINDS:
        return path
    try:
        return f"{head}:{encode(_KINDS[head], UUID(tail))}"
    except ValueError:
        return path


def internal(path: str) -> str:
    """Return the path of the books that is meant; what names no id of ours stays as it is."""
    head, _, tail = path.partition(":")
    if head not in _KINDS:
        return path
    try:
        return f"{head}:{decode(_KINDS[head], tail)}"
    except ValueError:
        return path
