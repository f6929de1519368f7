"""The evidence of an export is what the journal says was brought, and says what it then said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from disputes import evidence_deletion, views
from disputes.evidence import SORTS
from disputes.evidence_rows import StoredFile
from disputes.model import Case
from service.db import transaction
from service.records import catalogue, verify
from service.records.verify import Keys, NotGenuine
from tests.records.lives import Court
from tests.records.test_dossier import made, plain, texts
from tests.records.test_verify import another, leaves


@pytest.fixture
def case(court: Court) -> Case:
    """A closed case with words, a photo and facts that the platform brought."""
    case = court.claimed()
    court.bring(case)
    court.bring(
        case,
        sort="photo",
        text="The scratch.",
        member_id=case.payee_id,
        file=StoredFile("a" * 64, "b" * 64, "image/jpeg", 12_345),
    )
    court.bring(case, sort="carrier", text=None, member_id=None, data={"delivered": True, "n": 3})
    case = court.written(court.known(case).case)
    court.now = case.due_at
    return court.act(case, "end_appeal_time")


def test_every_piece_is_there_with_its_hashes_author_and_time(
    court: Court, case: Case, published: Callable[[], Keys]
) -> None:
    export = orjson.loads(orjson.dumps(court.export(case)))
    found = [(one["ordinal"], one["sort"], one["author"]) for one in export["evidence"]]
    assert found == [(1, "text", "payer"), (2, "photo", "payee"), (3, "carrier", "platform")]
    assert verify.verify_export(export, published()).deleted == 0
    shown = plain(texts(made(export)))
    assert "2. photo, la personne payée, 2027-03-01 09:00:00 UTC The scratch." in shown
    assert "image/jpeg" in shown
    assert "3. fait du transporteur, la plateforme" in shown


def test_each_place_of_the_evidence_that_is_changed_is_found(
    court: Court, case: Case, published: Callable[[], Keys]
) -> None:
    export, known = orjson.loads(orjson.dumps(court.export(case))), published()
    tried = 0
    for container, key in leaves(export["evidence"]):
        before = container[key]
        container[key] = another(before)
        with pytest.raises(NotGenuine):
            verify.verify_export(export, known)
        container[key] = before
        tried += 1
    assert tried > 30
    pieces = export["evidence"]
    wrong: list[Any] = [
        pieces[:-1],
        pieces[1:],
        [*pieces, pieces[0]],
        pieces[::-1],
        None,
        [None, None, None],
        [pieces[0] | {"text": None}, *pieces[1:]],
        [pieces[0] | {"deleted": True}, *pieces[1:]],
        [pieces[0] | {"file": {"hash": "a" * 64}}, *pieces[1:]],
        [pieces[0] | {"data": {"more": 1}}, *pieces[1:]],
        [pieces[0] | {"more": 1}, *pieces[1:]],
        [{name: one for name, one in pieces[0].items() if name != "text"}, *pieces[1:]],
    ]
    for listed in wrong:
        with pytest.raises(NotGenuine):
            verify.verify_export(export | {"evidence": listed}, known)


def test_what_was_deleted_on_its_date_leaves_its_hash_and_the_export_proven(
    court: Court, case: Case, published: Callable[[], Keys]
) -> None:
    later = court.now + timedelta(days=365)
    with transaction(court.engine, court.platform_id) as connection:
        assert len(evidence_deletion.delete_due(connection, court.platform_id, later, 10)) == 3
    export = court.export(case)
    assert "agreed that he would bring it" not in orjson.dumps(export).decode()
    assert verify.verify_export(export, published()).deleted == 3
    assert "supprimée à sa date" in plain(texts(made(export)))


def test_that_somebody_had_the_evidence_by_an_export_is_written_down(
    court: Court, case: Case
) -> None:
    court.export(case)
    with court.people.inside() as connection:
        (look,) = views.of_case(connection, court.platform_id, case.id)
    assert (look.viewer, look.upto) == ("payer", 3)


def test_every_sort_of_evidence_has_a_word() -> None:
    assert set(catalogue.words("fr")["sorts"]) >= SORTS
