"""Whoever ends loses what they have to others at once; what they have decided stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine

from disputes.audit import audit
from disputes.model import Stage
from service import db
from service.ids import decode, encode
from tests.disputes.people import People
from tests.http.claimed import PRESSURED, Claimed, claim
from tests.http.client import Api, problem
from tests.http.court import WHY, Bench, make_bench
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk


@pytest.fixture
def bench(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    return make_bench(paid, engine, operator, new_desk)


@pytest.fixture
def sound(engine: Engine, paid: Deal) -> Callable[[], None]:
    """Insists that nothing in the platform's cases contradicts itself."""

    def check() -> None:
        with db.transaction(engine, db.SYSTEM) as connection:
            assert audit(connection, paid.platform_id) == []

    return check


def end(operator: Api, mediator: UUID) -> None:
    operator.made(f"/v1/operator/mediators/{encode('mediator', mediator)}/end")


def parts(people: People, found: Claimed) -> list[tuple[UUID, str, str | None]]:
    """Who was given what of the case, and how it ended."""
    rows = people.assignments(found.case())
    return [(row["mediator_id"], row["part"], row["ended_why"]) for row in rows]


def decision(**more: str) -> dict[str, str]:
    return {"outcome": "to_payer", "reason_code": "evidence", "reasons": WHY, **more}


def test_every_open_case_is_somebody_else_s_the_moment_its_mediator_ends(
    paid: Deal, engine: Engine, bench: Bench, operator: Api, sound: Callable[[], None]
) -> None:
    gone = bench.people.join()
    found = [claim(paid, PRESSURED)]
    more = make_deal(paid.api, engine, agreed=True)
    more.fund()
    found.append(claim(more, PRESSURED))
    heir = bench.people.join()
    end(operator, gone)
    for one in found:
        assert one.case().mediator_id == heir
        assert gone in one.case().left
        assert parts(bench.people, one) == [(gone, "mediator", "left"), (heir, "mediator", None)]
    case = encode("case", found[0].case_id)
    told = operator.read(f"/v1/operator/cases/{case}/assignments")["data"]
    assert [one["reproduced"] for one in told] == [True, True]
    sound()


def test_with_nobody_else_the_case_waits_in_the_queue_for_whoever_comes(
    paid: Deal, bench: Bench, operator: Api, sound: Callable[[], None]
) -> None:
    gone = bench.people.join()
    found = claim(paid, PRESSURED)
    end(operator, gone)
    assert found.case().mediator_id is None
    sound()
    desk, person = bench.join()
    assert desk.made("/v1/mediation/queue/claim-next")["id"] == encode("case", found.case_id)
    assert found.case().mediator_id == person.uuid
    sound()


def test_whoever_reads_a_decision_before_it_is_told_is_replaced_and_the_decision_stands(
    paid: Deal, bench: Bench, operator: Api, sound: Callable[[], None]
) -> None:
    desk, decider = bench.join()
    found = claim(paid, PRESSURED)
    reader, heir = bench.people.join(), None
    case = encode("case", found.case_id)
    desk.made(f"/v1/mediation/cases/{case}/decide", decision(outcome="cannot_decide"))
    assert found.case().second_id == reader
    heir = bench.people.join()
    end(operator, reader)
    now = found.case()
    assert (now.stage, now.second_id) == (Stage.SECOND_LOOK, heir)
    assert now.ruling is not None
    assert now.ruling.by == (decider.uuid,)
    sound()


def test_a_decision_that_is_being_read_stands_though_its_author_has_ended(
    paid: Deal, bench: Bench, operator: Api, sound: Callable[[], None]
) -> None:
    desk, decider = bench.join()
    found = claim(paid, PRESSURED)
    colleague, _ = bench.join()
    path = f"/v1/mediation/cases/{encode('case', found.case_id)}"
    desk.made(f"{path}/decide", decision(outcome="cannot_decide"))
    end(operator, decider.uuid)
    assert found.case().mediator_id is None
    sound()
    shown = colleague.made(f"{path}/agree-with")
    assert shown["stage"] == "appealable"
    assert found.case().ruling is not None
    sound()


def test_a_decision_sent_back_after_its_author_has_ended_waits_for_somebody_else(
    paid: Deal, bench: Bench, operator: Api, sound: Callable[[], None]
) -> None:
    desk, decider = bench.join()
    found = claim(paid, PRESSURED)
    colleague, reader = bench.join()
    path = f"/v1/mediation/cases/{encode('case', found.case_id)}"
    desk.made(f"{path}/decide", decision(outcome="cannot_decide"))
    end(operator, decider.uuid)
    colleague.made(f"{path}/send-back", {"reason": "Say what is missing."})
    now = found.case()
    assert (now.stage, now.mediator_id) == (Stage.DECISION, None)
    sound()
    other, heir = bench.join()
    assert other.made("/v1/mediation/queue/claim-next")["id"] == encode("case", found.case_id)
    assert found.case().mediator_id == heir.uuid != reader.uuid


def test_ending_again_changes_no_case(paid: Deal, bench: Bench, operator: Api) -> None:
    gone = bench.people.join()
    found = claim(paid, PRESSURED)
    bench.people.join()
    end(operator, gone)
    before = found.case()
    end(operator, gone)
    assert found.case() == before


def test_what_somebody_else_has_stays_theirs(paid: Deal, bench: Bench, operator: Api) -> None:
    bench.people.join()
    found = claim(paid, PRESSURED)
    before = found.case()
    end(operator, bench.people.join())
    assert found.case() == before


def test_an_unknown_mediator_ends_nothing(paid: Deal, bench: Bench, operator: Api) -> None:
    bench.people.join()
    found = claim(paid, PRESSURED)
    before = found.case()
    nobody = decode("mediator", "md_0001j5x7v4e9tsmwd8w1c9xk5v")
    answer = operator.post(f"/v1/operator/mediators/{encode('mediator', nobody)}/end")
    problem(answer, 404, "mediator_not_found")
    assert found.case() == before


def test_a_panel_of_an_appeal_goes_on_with_somebody_else_and_a_word_given_stands(
    paid: Deal, bench: Bench, operator: Api, sound: Callable[[], None]
) -> None:
    desk, _ = bench.join()
    found = claim(paid, PRESSURED)
    path = f"/v1/mediation/cases/{encode('case', found.case_id)}"
    desk.made(f"{path}/decide", decision())
    panel = bench.people.join()
    case = found.case()
    found.step("appeal", member_id=case.payee_id, reason_code="new_evidence", text="A letter.")
    appeal = found.case().appeal
    assert appeal is not None
    assert appeal.panel == (panel,)
    heir = bench.people.join()
    end(operator, panel)
    appealed = found.case().appeal
    assert appealed == replace(appeal, panel=(heir,))
    sound()
