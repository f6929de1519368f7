"""What a signed decision says, and that it says the same for ever."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from disputes import journal
from disputes.model import Extra, Stage
from disputes.outcomes import Outcome, Side
from disputes.reasons import REASONS
from disputes.refusals import CaseNotFound
from ledger import units
from service.db import transaction
from service.ids import encode, uuid7
from service.records import decisions, telling, verify
from service.records.decisions import NotDecided
from service.records.verify import Keys
from tests.disputes.people import DAY, HOUR
from tests.records.lives import ISSUER, TEXT, Court
from tests.records.test_dossier import made, plain, texts


def said(court: Court, case: Any, published: Callable[[], Keys]) -> dict[str, Any]:
    made = court.decision(case)
    found = verify.verify(made, published())
    assert found.kind == "decision"
    return dict(found.document)


def test_a_decision_says_what_was_asked_decided_and_paid_and_by_whom(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.closed()
    told = said(court, case, published)
    with court.people.inside() as connection:
        lines = journal.read(connection, case.platform_id, case.id)
    assert told["case"] == encode("case", case.id)
    assert told["exchange"] == encode("exchange", case.subject_id)
    assert (told["mode"], told["issuer"], told["final"]) == ("sandbox", ISSUER, True)
    assert (told["question"], told["file_sha256"]) == ("pressure_or_scam", case.file_hash)
    assert told["outcomes"] == case.file["outcomes"]
    assert (told["outcome"], told["ended_by"]) == ("split", "appeal_time_over")
    assert [
        (line["unit"], line["decimals"], line["amount"], line["to_payee"], line["to_payer"])
        for line in told["lines"]
    ] == [("EUR", 2, 60_000, 30_000, 30_000), ("JPY", 0, 7, 3, 4)]
    assert told["decision"]["reasons"] == TEXT
    assert told["decision"]["reason_code"] == "facts"
    assert case.ruling is not None
    assert told["decision"]["by"] == [encode("mediator", case.ruling.by[0])]
    assert told["decision"]["seconded_by"] is None
    assert told["appeal"] is None
    assert told["journal"] == {"lines": len(lines), "last_hash": lines[-1].hash.hex()}


def test_who_read_an_unusual_decision_before_it_was_told_is_named(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.told(Outcome.CANNOT_DECIDE)
    assert case.ruling is not None
    assert case.ruling.seconded_by is not None
    told = said(court, case, published)
    assert told["decision"]["seconded_by"] == encode("mediator", case.ruling.seconded_by)


def test_a_decision_that_a_second_person_has_not_read_yet_is_nobodys_to_see(court: Court) -> None:
    case = court.written(court.claimed(), Outcome.CANNOT_DECIDE)
    assert case.stage is Stage.SECOND_LOOK
    with pytest.raises(NotDecided):
        court.decision(case)


def test_nor_when_the_limit_comes_before_they_read_it(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.written(court.claimed(), Outcome.CANNOT_DECIDE)
    court.now = case.decide_by
    case = court.act(case, "reach_limit")
    told = said(court, case, published)
    assert (told["ended_by"], told["decision"], told["final"]) == ("limit_reached", None, True)
    assert TEXT not in court.decision(case)


def test_a_decision_that_is_told_and_not_final_says_so_and_the_final_one_is_another_document(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.told()
    first = court.decision(case)
    told = said(court, case, published)
    assert (told["final"], told["closed_at"], told["ended_by"]) == (False, None, None)
    assert told["lines"][0]["to_payee"] == 30_000
    case = court.act(
        case,
        "appeal",
        after=HOUR,
        member_id=case.payee_id,
        reason_code="procedure",
        text="Nobody asked me.",
    )
    assert court.decision(case) == first, "an appeal under way changes nothing of what was told"
    assert case.appeal is not None
    panel = case.appeal.panel
    for one in panel:
        if case.stage is not Stage.CLOSED:
            vote = {"outcome": Outcome.TO_PAYER, "text": TEXT, "reason_code": "facts"}
            case = court.act(case, "vote", after=HOUR, mediator_id=one, **vote)
    assert case.stage is Stage.CLOSED
    last = said(court, case, published)
    assert (last["outcome"], last["ended_by"], last["final"]) == (
        "to_payer",
        "appeal_decided",
        True,
    )
    assert [line["to_payee"] for line in last["lines"]] == [0, 0]
    assert last["appeal"] == {
        "by": "payee",
        "ground": "procedure",
        "made_at": last["appeal"]["made_at"],
        "panel": [encode("mediator", one) for one in panel],
        "heard": True,
        "changed": True,
    }
    assert verify.verify(first, published()).document["outcome"] == "split"


def test_an_appeal_that_is_not_heard_leaves_the_decision(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.told()
    case = court.act(
        case, "appeal", after=HOUR, member_id=case.payee_id, reason_code="procedure", text="No."
    )
    court.now = case.due_at
    told = said(court, court.act(case, "end_appeal"), published)
    assert (told["appeal"]["heard"], told["appeal"]["changed"]) == (False, False)
    assert (told["outcome"], told["ended_by"]) == ("split", "appeal_not_heard")


def test_goods_that_come_back_end_a_case_whose_decision_was_told_before(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.claimed(reason=REASONS["damaged"])
    court.now = case.due_at
    case = court.act(case, "end_talk")
    case = court.written(case, Outcome.RETURN_THEN_REFUND)
    court.now = case.due_at
    case = court.act(case, "end_appeal_time")
    assert case.stage is Stage.RETURNING
    waiting = said(court, case, published)
    assert (waiting["final"], waiting["outcome"]) == (False, "return_then_refund")
    case = court.act(case, "confirm_returned", after=DAY, member_id=case.payee_id)
    told = said(court, case, published)
    assert (told["outcome"], told["ended_by"]) == ("to_payer", "return_confirmed")
    assert told["decision"]["reasons"] == TEXT


def test_a_decision_that_a_disputed_return_has_undone_is_not_the_one_that_ends_the_case(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.claimed(reason=REASONS["damaged"])
    court.now = case.due_at
    case = court.act(case, "end_talk")
    case = court.written(case, Outcome.RETURN_THEN_REFUND)
    court.now = case.due_at
    case = court.act(case, "end_appeal_time")
    case = court.act(case, "mark_returned", after=DAY, member_id=case.payer_id)
    court.now = case.due_at
    case = court.act(case, "end_return")
    with pytest.raises(NotDecided):
        court.decision(case)
    case = court.written(case, Outcome.CANNOT_DECIDE)  # which nobody has read yet
    court.now = case.decide_by
    case = court.act(case, "reach_limit")
    told = said(court, case, published)
    assert (told["ended_by"], told["decision"]) == ("limit_reached", None)


def test_a_claim_that_was_withdrawn_shares_nothing_out(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.claimed()
    case = court.act(case, "withdraw_claim", member_id=case.payer_id)
    told = said(court, case, published)
    assert (told["outcome"], told["ended_by"]) == ("withdrawn", "claim_withdrawn")
    assert [line["to_payee"] for line in told["lines"]] == [None, None]
    assert told["decision"] is None


def test_what_both_sides_agreed_to_is_signed_too(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.claimed()
    split = {line.id: 1 for line in case.lines}
    case = court.act(
        case, "make_offer", member_id=case.payer_id, outcome=Outcome.SPLIT, split=split
    )
    assert case.offer is not None
    case = court.act(case, "accept_offer", member_id=case.payee_id, about=case.offer.id)
    told = said(court, case, published)
    assert (told["ended_by"], told["decision"]) == ("offer_accepted", None)
    assert [line["to_payer"] for line in told["lines"]] == [59_999, 6]


def test_hours_that_were_given_beside_a_split_are_signed_with_it(
    court: Court, published: Callable[[], Keys]
) -> None:
    with court.people.inside() as connection:
        units.define(connection, court.platform_id, "HOURS", "Hours", 2, 0)
    case = court.claimed()
    case = court.act(
        case,
        "make_offer",
        member_id=case.payee_id,
        outcome=Outcome.SPLIT,
        split={line.id: line.amount for line in case.lines},
        extra=Extra(Side.PAYEE, "HOURS", 150),
    )
    assert case.offer is not None
    case = court.act(case, "accept_offer", member_id=case.payer_id, about=case.offer.id)
    told = said(court, case, published)
    assert told["extra"] == {"by": "payee", "unit": "HOURS", "decimals": 2, "amount": 150}
    shown = plain(texts(made(court.export(case))))
    assert "En plus, donné par la personne payée : 1,50 HOURS" in shown
    assert "the payee gave 1.50 HOURS" in " ".join(
        telling.words(verify.verify(court.decision(case), published()))
    )


def test_the_same_document_is_answered_for_ever_also_to_many_at_once(court: Court) -> None:
    case = court.closed()
    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: court.decision(case), range(6)))
    assert len(found) == 1
    assert court.decision(case) in found


def test_what_was_signed_is_not_changed_in_the_database(court: Court) -> None:
    court.decision(court.closed())
    with court.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE tierce_owner"))
        with pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text("UPDATE service.signed_document SET jws = 'x'"))


def test_an_open_case_and_one_of_another_platform_have_no_decision(
    court: Court, new_platform: Callable[[], Any]
) -> None:
    case = court.claimed()
    with pytest.raises(NotDecided):
        court.decision(case)
    elsewhere = new_platform()
    with (
        pytest.raises(CaseNotFound),
        transaction(court.engine, elsewhere) as connection,
    ):
        decisions.read(connection, elsewhere, case.id, ISSUER)
    with pytest.raises(CaseNotFound), court.people.inside() as connection:
        decisions.read(connection, court.platform_id, uuid7(), ISSUER)
