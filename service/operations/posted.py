"""Post to the ledger, and count it by kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from ledger import posting as ledger
from ledger.posting import Outcome, Posting, Status
from service.operations import metrics


def post(
    connection: Connection, platform_id: UUID, postings: Sequence[Posting], now: datetime
) -> list[Outcome]:
    """Do as :func:`ledger.posting.post`. What is rolled back afterwards has been counted as well.

    Raises:
        InvalidPosting: one is malformed; nothing was posted.
    """
    outcomes = ledger.post(connection, platform_id, postings, now)
    for one, outcome in zip(postings, outcomes, strict=True):
        if outcome.status is Status.CREATED:
            metrics.postings.labels(one.kind).inc()
    return outcomes


def reverse(
    connection: Connection, platform_id: UUID, key: str, new_key: str, now: datetime
) -> Outcome:
    """Do as :func:`ledger.posting.reverse`, counted as what it posts: a ``reversal``.

    Raises:
        PostingNotFound: the books have no posting ``key``.
        AlreadyReversed: it was undone under another key.
    """
    outcome = ledger.reverse(connection, platform_id, key, new_key, now)
    if outcome.status is Status.CREATED:
        metrics.postings.labels("reversal").inc()
    return outcome
