"""Evidence brought while files are swept, cases step on and exchanges move."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine

from disputes import journal
from disputes.outcomes import Outcome
from service import db
from service.exchanges import evidence_sweep
from tests.disputes import samples
from tests.http.claimed import Claimed, claim
from tests.http.client import at_once
from tests.http.deal import Deal


@pytest.fixture
def damaged(paid: Deal) -> Claimed:
    return claim(paid)


def picture(shade: int) -> bytes:
    return samples.encoded(samples.image(8 + shade, 8), "PNG")


def test_no_file_that_a_row_names_is_ever_swept(damaged: Claimed, engine: Engine) -> None:
    """The sweep takes every file that has no row for old, and runs all the time."""
    files = damaged.api.server.app.state.edge.files
    over, rounds = threading.Event(), 0

    def sweep() -> None:
        nonlocal rounds
        while not over.is_set():
            evidence_sweep.run(engine, files, datetime.now(UTC) + timedelta(days=2))
            rounds += 1

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        payer, payee = damaged.payer, damaged.payee
        for shade in range(6):
            content = picture(shade)
            at_once(
                partial(damaged.sent, content, payer),
                partial(damaged.sent, content, payee),
                # Of a third nothing is left but a file that nobody names.
                partial(files.put, content + b" unnamed"),
            )
    finally:
        over.set()
        sweeper.join(60)
    assert rounds >= 2
    found = damaged.api.read(damaged.path)["data"]
    assert len(found) == 12
    for piece in found:
        assert damaged.api.get(piece["file"]["path"]).status_code == 200


def test_evidence_steps_of_the_case_and_of_the_exchange_wait_for_each_other_and_never_deadlock(
    damaged: Claimed, engine: Engine
) -> None:
    payer, payee = damaged.payer, damaged.payee
    members = damaged.case().payer_id, damaged.case().payee_id

    def offer(member: Any) -> str:
        case = damaged.step("make_offer", member_id=member, outcome=Outcome.TO_PAYER, text="Here.")
        return str(case.stage)

    def say(by: Any) -> httpx.Response:
        answer: httpx.Response = by.post(damaged.path, {"sort": "text", "text": str(uuid4())})
        return answer

    calls: list[Callable[[], Any]] = []
    for _ in range(4):
        calls += [partial(say, payer), partial(say, payee)]
        calls += [partial(offer, member) for member in members]
        calls += [partial(payer.get, f"/v1/exchanges/{damaged.deal.exchange['id']}")]
    answers = at_once(*calls)
    said = [one for one in answers if isinstance(one, httpx.Response)]
    assert {answer.status_code for answer in said} <= {200, 201}
    with db.transaction(engine, damaged.deal.platform_id) as connection:
        lines = journal.read(connection, damaged.deal.platform_id, damaged.case_id)
    assert journal.first_broken(lines) is None
    assert sum(line.type == "evidence_added" for line in lines) == 8
    assert sum(line.type == "offer_made" for line in lines) == 8
    assert damaged.case().entries == len(lines)
