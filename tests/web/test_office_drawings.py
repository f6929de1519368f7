"""The office's drawings: everything is in them, and nothing stands outside."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from ledger import accounts, history
from ledger.accounts import Moved, Posted
from ledger.history import Day
from ledger.posting import Posting, Transfer, post
from service import db
from service.web.office import chart, flow

_PATHS = ("member:a", "member:b", "hold:1", "hold:2", "provider:sandbox", "transit:1", "platform:x")
_MOVES = st.tuples(st.sampled_from(_PATHS), st.sampled_from(_PATHS)).filter(
    lambda one: one[0] != one[1]
)


@given(st.lists(st.integers(-(10**6), 10**15), min_size=2, max_size=90))
def test_every_day_is_a_point_inside_the_drawing(balances: list[int]) -> None:
    days = [Day(date(2027, 1, 1) + timedelta(at), one) for at, one in enumerate(balances)]
    drawn = chart.draw(days)
    points = re.findall(r"(\d+) (-?\d+)", drawn.line)
    assert len(points) == len(balances)
    assert all(0 <= int(x) <= drawn.width and 0 <= int(y) <= drawn.height for x, y in points)
    assert drawn.top >= max(balances)


@given(st.lists(_MOVES, max_size=12))
def test_each_account_has_a_box_and_each_movement_an_arrow(moves: list[tuple[str, str]]) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    postings = [
        Posted(uuid4(), str(number), "collect", None, at, None, (Moved(*ends, 1, "EUR"),))
        for number, ends in enumerate(moves)
    ]
    drawn = flow.draw(postings, "member:a", "member:b")
    assert {box.path for box in drawn.boxes} == {path for ends in moves for path in ends}
    assert [(one.debit, one.credit) for one in drawn.arrows] == moves
    assert [one.number for one in drawn.arrows] == list(range(1, len(moves) + 1))
    places = [(box.x, box.y) for box in drawn.boxes]
    assert len(set(places)) == len(places)
    for box in drawn.boxes:
        assert 0 <= box.x <= drawn.width - box.width
        assert 0 <= box.y <= drawn.height - box.height


def test_what_was_held_each_day_is_what_the_ledger_says_of_that_instant(
    engine: Engine, platform_id: UUID
) -> None:
    now = datetime(2027, 3, 10, 15, tzinfo=UTC)
    moves = [(40, 900, "in"), (20, 300, "in"), (20, 100, "out"), (3, 500, "out"), (0, 50, "in")]
    for back, amount, way in moves:
        ends = ("provider:sandbox", "hold:x") if way == "in" else ("hold:x", "member:a")
        moved = Posting(f"k{back}{way}", "collect", (Transfer(*ends, amount, "EUR"),))
        with db.transaction(engine, platform_id) as connection:
            post(connection, platform_id, [moved], now - timedelta(days=back))
    with db.transaction(engine, platform_id) as connection:
        found = history.by_day(connection, platform_id, "hold", now, 30)["EUR"]
        for one in found:
            end = datetime(one.day.year, one.day.month, one.day.day, 23, 59, tzinfo=UTC)
            at = accounts.balance(connection, platform_id, "hold:x", "EUR", end)
            assert one.balance == at, one.day
    assert (found[0].balance, found[-1].balance) == (900, 650)
