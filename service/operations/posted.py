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
