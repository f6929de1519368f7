"""Whoever is drawn for a case is told by mail, once, and of nothing that is in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from disputes import mediators
from disputes.outcomes import Outcome
from service import db
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.messages import mediator_mail
from service.messages.channels import Channels
from tests.disputes.people import People, a_mediator
from tests.exchanges.court import REASONS, Court
from tests.messages.post import PostOffice
from tests.messages.street import Street


def court_of(street: Street, *languages: str, count: int = 1) -> Court:
    people = People(street.engine, street.platform_id)
    for _ in range(count):
        mediator = a_mediator(languages=frozenset(languages or ("fr",)), name="Maud <Le Goff>")
        with people.everywhere() as connection:
            mediators.add(connection, mediator)
            mediators.put_in_pool(connection, people.pool_id, [mediator.id])
    return Court(street, people)


def claimed(street: Street) -> Any:
    exchange = street.funded(street.sale())
    draft = ClaimDraft("pressure_or_scam", (), {}, {"what_happened": "He threatened me."})
    return street.step(exchange, "claim", Role.PAYER, claim=draft)


def mail(street: Street, later: timedelta = timedelta()) -> int:
    return mediator_mail.run(street.engine, street.channels, street.now + later, street.platform_id)


def states(street: Street) -> list[tuple[str, str | None]]:
    with db.transaction(street.engine, street.platform_id) as connection:
        query = text("SELECT state, reason FROM service.mediator_mail ORDER BY assignment_id")
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize(
    ("languages", "said"),
    [(("fr", "br"), "tiré au sort"), (("en",), "drawn by lot"), (("br",), "Tennet oc'h bet")],
)
def test_who_is_drawn_is_told_once_in_a_language_of_theirs_and_nothing_of_the_case(
    street: Street, office: PostOffice, languages: tuple[str, ...], said: str
) -> None:
    for member in (street.payer, street.payee):
        street.person(member, locale=languages[0])
    court_of(street, *languages)
    exchange = claimed(street)
    assert mail(street) == 1
    (got,) = office.got
    assert said in got.text()
    assert "https://tierce.test/desk" in got.text()
    assert "threatened" not in got.text()
    assert str(exchange.terms["title"]) not in got.text()
    assert states(street) == [("sent", None)]
    assert mail(street, timedelta(days=1)) == 0
    assert len(office.got) == 1


def test_a_second_reader_is_told_too_and_whoever_gave_it_back_is_not(
    street: Street, office: PostOffice
) -> None:
    court = court_of(street, count=2)
    case = court.case(claimed(street))
    mail(street)
    court.take(
        case, "decide", mediator_id=case.mediator_id, outcome=Outcome.CANNOT_DECIDE,
        reason_code="not_proven", text=REASONS,
    )  # fmt: skip
    mail(street)
    assert [("relecture" in got.text()) for got in office.got] == [False, True]


def test_a_case_that_is_gone_before_the_mail_is_sent_is_not_told(
    street: Street, office: PostOffice
) -> None:
    court = court_of(street)
    case = court.case(claimed(street))
    court.take(case, "withdraw_claim", member_id=street.payer)
    assert mail(street) == 0
    assert states(street) in ([], [("suppressed", "over")])
    assert office.got == []


def test_a_sandbox_and_an_instance_without_mail_write_to_nobody(
    sandbox_street: Street, street: Street, office: PostOffice
) -> None:
    court_of(sandbox_street)
    claimed(sandbox_street)
    assert mail(sandbox_street) == 0
    assert states(sandbox_street) == [("suppressed", "sandbox")]
    court_of(street)
    claimed(street)
    none = Channels("https://tierce.test")
    assert mediator_mail.run(street.engine, none, street.now, street.platform_id) == 0
    assert states(street) == [("suppressed", "no_channel")]
    assert office.got == []


def test_a_server_that_is_away_is_tried_again_and_then_given_up(
    street: Street, office: PostOffice
) -> None:
    court = court_of(street)
    case = court.case(claimed(street))
    with court.people.everywhere() as connection:
        assert case.mediator_id is not None
        address = mediators.get(connection, case.mediator_id).email
    office.at_recipient[address] = "451 4.3.0 later"
    assert mail(street) == 1
    ((state, reason),) = states(street)
    assert (state, "451" in str(reason)) == ("waiting", True)
    assert mail(street, timedelta(seconds=30)) == 0
    office.at_recipient[address] = "550 5.1.1 nobody here"
    assert mail(street, timedelta(hours=2)) == 1
    assert states(street)[0][0] == "failed"
    assert mail(street, timedelta(days=3)) == 0
