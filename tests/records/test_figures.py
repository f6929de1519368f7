"""What is told of how disputes go: right, the same for ever, and pointing at nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from disputes import figures
from disputes.figures import FEWEST, Quarter, withhold
from disputes.model import Stage
from disputes.outcomes import Outcome
from disputes.reasons import REASONS
from service.db import SYSTEM, transaction
from service.records import catalogue, statistics
from tests.disputes.people import DAY, HOUR
from tests.http.client import Api, problem
from tests.http.conftest import anonymous, app_settings, server
from tests.records.lives import TEXT, Court

__all__ = ["anonymous", "app_settings", "server"]

FIRST: Final = Quarter(2027, 1)
START: Final = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)


@pytest.fixture
def court(engine: Engine, platform_id: UUID) -> Court:
    return Court(engine, platform_id, now=START)


def decided(court: Court, outcome: Outcome = Outcome.SPLIT, **more: Any) -> None:
    """A case that is decided after two days and that nobody appeals."""
    court.now = START
    case = court.claimed(**more)
    court.now += 2 * DAY
    case = court.written(case, outcome)
    court.now = case.due_at
    court.act(case, "end_appeal_time")


def appealed(court: Court, outcome: Outcome | None) -> None:
    """A case that is decided, and appealed a day later; heard with this outcome, or not at all."""
    court.now = START
    case = court.told()
    case = court.act(
        case, "appeal", after=DAY, member_id=case.payer_id, reason_code="procedure", text="No."
    )
    assert case.appeal is not None
    if outcome is None:
        court.now = case.due_at
        court.act(case, "end_appeal")
        return
    split = {line.id: line.amount // 2 for line in case.lines}
    for one in case.appeal.panel:
        if case.stage is not Stage.CLOSED:
            case = court.act(
                case,
                "vote",
                after=HOUR,
                mediator_id=one,
                outcome=outcome,
                split=split if outcome is Outcome.SPLIT else None,
                text=TEXT,
                reason_code="facts",
            )
    assert case.stage is Stage.CLOSED


def counted(court: Court, quarter: Quarter = FIRST) -> dict[str, Any]:
    with court.people.everywhere() as connection:
        return figures.count(connection, [court.platform_id], quarter)


def test_cases_are_counted_by_reason_outcome_share_and_time(court: Court) -> None:
    for _ in range(5):
        decided(court)
    for _ in range(5):
        decided(court, Outcome.TO_PAYER, reason=REASONS["unauthorised"])
    court.now = START
    court.claimed()  # goes on
    found = counted(court)
    assert found["opened"] == {
        "cases": 11,
        "by_reason": {"pressure_or_scam": 6, "unauthorised": 5},
    }
    assert found["closed"] == {
        "cases": 10,
        "by_reason": {"pressure_or_scam": 5, "unauthorised": 5},
        "by_outcome": {"split": 5, "to_payer": 5},
        "median_days": 9.0,
    }
    # Of 600.00 EUR the half, and 3 of 7 JPY.
    assert found["shares"] == {
        "to_payee_percent": 23,
        "by_reason": {"pressure_or_scam": 46, "unauthorised": 0},
    }
    assert found["stages"] == {
        "mediation": {"cases": 10, "median_days": 2.0},
        "appealable": {"cases": 10, "median_days": 7.0},
    }
    assert found["late"] == {"mediator_silent": 0, "limit_reached": 0}


def test_stages_begin_where_the_journal_says_so(court: Court) -> None:
    for _ in range(5):
        court.now = START
        case = court.claimed(reason=REASONS["damaged"])
        case = court.act(case, "call_mediator", after=3 * DAY, member_id=case.payer_id)
        court.now = case.due_at
        case = court.act(case, "end_mediation")
        court.now += DAY
        case = court.written(case, Outcome.CANNOT_DECIDE)
        case = court.act(case, "send_back", after=DAY, mediator_id=case.second_id, text="Look.")
        court.now += DAY
        case = court.written(case, Outcome.CANNOT_DECIDE)
        # Whoever is to read it is challenged: it goes back to be decided.
        case = court.act(case, "challenge", after=HOUR, member_id=case.payer_id, text="A friend.")
        case = court.act(case, "withdraw_claim", after=DAY, member_id=case.payer_id)
    found = counted(court)["stages"]
    assert found["talk"] == {"cases": 5, "median_days": 3.0}
    assert found["mediation"] == {"cases": 5, "median_days": 10.0}
    assert found["decision"] == {"cases": 5, "median_days": 1.0}
    # Once for a day, once for an hour.
    assert found["second_look"] == {"cases": 5, "median_days": 0.5}
    assert set(found) == {"talk", "mediation", "decision", "second_look"}
    assert counted(court)["other_mediator"] == {"challenged": 5, "declined": 0}


def test_appeals_are_told_with_how_many_changed_the_decision(court: Court) -> None:
    for outcome, times in ((Outcome.TO_PAYER, 6), (Outcome.SPLIT, 5), (None, 5)):
        for _ in range(times):
            appealed(court, outcome)
    assert counted(court)["appeals"] == {"made": 16, "changed": 6, "stood": 5, "not_heard": 5}


def test_a_silent_mediator_and_a_limit_are_told_as_late(court: Court) -> None:
    for _ in range(5):
        court.now = START
        case = court.claimed(decide_by=START + 40 * DAY)
        court.now = case.due_at
        case = court.act(case, "end_mediation")
        court.now = case.due_at
        case = court.act(case, "reassign")
        court.now = case.decide_by
        court.act(case, "reach_limit")
    assert counted(court)["late"] == {"mediator_silent": 5, "limit_reached": 5}


def test_a_quarter_has_its_own_cases_and_a_platform_its_own(
    court: Court, new_platform: Callable[[], UUID]
) -> None:
    for _ in range(5):
        decided(court)
    assert counted(court)["closed"]["cases"] == 5
    for other in (Quarter(2026, 4), Quarter(2027, 2)):
        empty = counted(court, other)
        assert (empty["opened"]["cases"], empty["closed"]["cases"]) == (0, 0)
    with court.people.everywhere() as connection:
        elsewhere = figures.count(connection, [new_platform()], Quarter(2027, 1))
    assert elsewhere["closed"]["cases"] == 0


def test_what_is_small_is_withheld_everywhere(court: Court) -> None:
    for _ in range(4):
        decided(court)
    appealed(court, Outcome.TO_PAYER)
    decided(court, reason=REASONS["unauthorised"])
    found = counted(court)
    assert found["opened"]["by_reason"] == {"pressure_or_scam": None, "unauthorised": None}
    assert found["closed"]["by_outcome"] == {"split": None, "to_payer": None}
    assert found["shares"]["by_reason"] == {"pressure_or_scam": None, "unauthorised": None}
    assert found["appeals"] == {"made": None, "changed": None, "stood": 0, "not_heard": 0}
    assert found["stages"]["appeal"] == {"cases": None, "median_days": None}


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 12)))
def test_nothing_that_is_withheld_can_be_worked_out_from_the_total(counts: dict[str, int]) -> None:
    told = withhold(counts)
    assert set(told) == set(counts)
    hidden = [name for name, count in told.items() if count is None]
    for name, count in told.items():
        if count is not None:
            assert count == counts[name]
            assert count == 0 or count >= FEWEST
    if hidden:
        all_hidden = all(counts[name] == 0 for name in counts if name not in hidden)
        enough = sum(counts[name] for name in hidden) >= FEWEST and len(hidden) >= 2
        assert enough or all_hidden


@pytest.mark.parametrize("year", [2026, 2027])
def test_quarters_follow_each_other_without_a_gap(year: int) -> None:
    quarter = Quarter(year, 1)
    for _ in range(6):
        assert quarter.until == quarter.next.since
        assert quarter.next.before == quarter
        assert figures.named(quarter.name) == quarter
        assert figures.at(quarter.since) == quarter
        assert figures.at(quarter.until - timedelta(microseconds=1)) == quarter
        quarter = quarter.next


def test_an_instant_is_in_its_quarter_whatever_its_zone() -> None:
    there = datetime.fromisoformat("2027-04-01T01:00:00+02:00")
    assert figures.at(there) == Quarter(2027, 1)


@pytest.mark.parametrize(
    "name", ["", "2027-Q0", "2027-Q5", "1999-Q4", "2200-Q1", "2027-q1", "٢027-Q1"]
)
def test_other_names_are_no_quarters(name: str) -> None:
    assert figures.named(name) is None


@pytest.fixture
def live(engine: Engine, platform_id: UUID) -> Court:
    """The live twin of the test's sandbox, in a quarter that is nobody else's."""
    with transaction(engine, SYSTEM) as connection:
        query = text("SELECT twin_id FROM service.platform WHERE id = :id")
        twin = connection.scalar(query, {"id": platform_id})
    assert twin is not None
    return Court(engine, twin)


def test_the_figures_of_a_quarter_are_open_to_everybody_and_stay(
    live: Court, court: Court, anonymous: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.START", datetime(2002, 4, 8, 9, 0, tzinfo=UTC))
    for _ in range(6):
        decided(live)
    decided(court)  # of a sandbox
    told = anonymous.get("/v1/statistics/disputes", quarter="2002-Q2")
    assert told.headers["cache-control"] == "public, max-age=3600"
    found = told.json()
    assert (found["since"], found["until"]) == ("2002-04-01T00:00:00Z", "2002-07-01T00:00:00Z")
    assert found["withheld_below"] == 5
    assert found["closed"]["by_outcome"] == {"split": 6}
    assert found["closed"]["cases"] == 6
    decided(live)
    assert anonymous.read("/v1/statistics/disputes", quarter="2002-Q2") == found


def test_the_last_quarter_that_is_over_is_told_where_none_is_named(anonymous: Api) -> None:
    now = datetime.now(UTC)
    found = anonymous.read("/v1/statistics/disputes")
    assert found["quarter"] in {figures.at(now).before.name, figures.at(now).name}
    going_on = anonymous.get("/v1/statistics/disputes", quarter="2199-Q4")
    assert problem(going_on, 409, "quarter_not_over")["facts"]["newest"] == found["quarter"]
    for wrong in ("1999-Q4", "2200-Q1"):
        problem(anonymous.get("/v1/statistics/disputes", quarter=wrong), 422, "unknown_quarter")
    problem(anonymous.get("/v1/statistics/disputes", quarter="Q4"), 422, "invalid_request")


def test_the_page_says_the_same_in_the_browser_s_language_without_a_script(
    live: Court, anonymous: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.START", datetime(2003, 4, 8, 9, 0, tzinfo=UTC))
    for _ in range(6):
        decided(live)
    decided(live, Outcome.TO_PAYER)
    for language, wanted in (("fr", "9,0 jours"), ("en-GB", "9.0 days"), ("br", "9,0 deiz")):
        shown = anonymous.send(
            "GET",
            "/statistics",
            params={"quarter": "2003-Q2"},
            headers={"Accept-Language": language},
        )
        assert shown.status_code == 200
        assert shown.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in shown.headers["content-security-policy"]
        assert f'<html lang="{language[:2]}">' in shown.text
        said = catalogue.words(language[:2])["statistics"]
        for part in (wanted, "2003-04-01", "2003-06-30", said["hidden"], "2003-Q1"):
            assert part in shown.text, (language, part)
        assert "<script" not in shown.text
        assert not re.findall(r'(?:src|href)="(?!\?quarter=)', shown.text)
        assert 'name="viewport"' in shown.text
    empty = anonymous.send("GET", "/statistics", params={"quarter": "2004-Q1"})
    assert catalogue.words("fr")["statistics"]["none"] in empty.text


def test_every_language_of_a_browser_finds_one_of_ours() -> None:
    assert statistics.preferred("de-DE, br;q=0.8, en;q=0.7") == "br"
    assert statistics.preferred("") == "fr"
    assert statistics.preferred("de") == "fr"
