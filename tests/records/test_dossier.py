"""The PDF of a case: readable, numbered, tied to its JSON, and the same for the same content."""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Any
from uuid import uuid4

import pytest

from disputes import model, outcomes, reasons, rulings
from disputes.outcomes import Line, Outcome
from service.exchanges.casework import TOLD
from service.ids import encode
from service.records import catalogue, dossier, exports, paper, signed
from service.records.reading import Reader
from tests.records.lives import Court


def texts(pdf: bytes) -> str:
    """What the pages of a PDF of built-in fonts show, without the places of the words."""
    shown = []
    for found in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        drawn = zlib.decompressobj().decompress(found[1]).decode("cp1252", "replace")
        parts = re.findall(r"\((.*?)(?<!\\)\)\s*Tj", drawn, re.DOTALL)
        shown.append(" ".join(part.replace("\\(", "(").replace("\\)", ")") for part in parts))
    return "\n".join(shown)


def made(export: dict[str, Any], language: str = "fr") -> bytes:
    digest = hashlib.sha256(signed.canonical(export)).hexdigest()
    return dossier.render(export, digest, language)


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def export(court: Court) -> dict[str, Any]:
    return court.export(court.closed())


def test_it_is_french_and_says_what_was_asked_decided_and_paid(export: dict[str, Any]) -> None:
    pdf = made(export)
    assert pdf.startswith(b"%PDF-")
    shown = plain(texts(pdf))
    for wanted in (
        "Dossier d'un litige",
        "ESSAI",
        export["case"],
        "pression ou escroquerie",
        "Que s'est-il passé ?",
        "He wrote that I must pay at once.",
        "600,00 EUR",
        "300,00 EUR à la personne payée, 300,00 EUR à la personne qui paie",
        "The photographs show the scratch",
        "décision, sans recours dans le délai",
        export["journal"][-1]["hash"],
    ):
        assert wanted in shown, wanted


def test_each_page_has_its_number_and_the_hash_of_the_json(export: dict[str, Any]) -> None:
    digest = hashlib.sha256(signed.canonical(export)).hexdigest()
    pdf = made(export)
    shown = plain(texts(pdf))
    pages = len(re.findall(rb"/Type /Page\b", pdf))
    assert pages > 1
    assert shown.count(f"SHA-256 du fichier JSON : {digest}") == pages
    for number in range(1, pages + 1):
        assert f"Dossier {export['case']}, page {number} sur {pages}" in shown


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_the_same_content_gives_the_same_bytes_and_another_language_others(
    export: dict[str, Any], language: str
) -> None:
    pdf = made(export, language)
    assert made(export, language) == pdf
    others = {made(export, other) for other in catalogue.LANGUAGES}
    assert len(others) == 3


def test_what_the_fonts_do_not_have_is_seen_by_its_number(export: dict[str, Any]) -> None:
    export["file"]["text"] = (
        "Łódź, 👍, \u202eabc, \x00, ñ ù œ € « é », {pages} \\ ) ( [0123456789abcdef]\u200b\u00ad."
    )
    shown = plain(texts(made(export)))
    assert "[U+0141]ód[U+017A], [U+1F44D], [U+202E]abc, [U+0000], ñ ù œ € « é »" in shown
    assert "{pages} \\\\ ) ( [0123456789abcdef][U+200B][U+00AD]." in shown


@pytest.mark.parametrize(
    "text", ["x" * 5_000, "\n" * 300, " ", "**bold** __x__ --y--", "ﷺ" * 200, "\ud7ff\ue000", "\r"]
)
def test_no_text_stops_a_document(export: dict[str, Any], text: str) -> None:
    export["file"]["text"] = text
    export["file"]["agreed"] = {text: [text, {"a": None, "b": [], "c": 1, "d": {"e": [[text]]}}]}
    assert made(export).startswith(b"%PDF-")


def test_what_was_agreed_and_done_is_told_in_words_and_whole_amounts(court: Court) -> None:
    line = Line(uuid4(), "EUR", 6_500)
    agreed = {
        "terms": {
            "title": "Un vélo",
            "legs": [
                {"role": "price", "checkpoint": "handover", "amount": 6_500, "unit": "EUR"}
                | {"payer_fee": 130, "payee_fee": 0},
                {"role": "deposit", "checkpoint": "return", "amount": 1_000, "unit": "JPY"},
            ],
            "checkpoints": [{"name": "handover", "due_at": "2027-03-01T08:00:00.5+02:00"}],
            "deposit": None,
            "chargeback": {"borne_by": "payee"},
            "fair_time": {"holidays": False, "reminders_before_hours": [24, 2]},
        }
    }
    case = court.claimed(agreed=agreed, lines=(line,), facts={"words": [{"method": "code"}]})
    case = court.act(
        case, "make_offer", member_id=case.payer_id, outcome=Outcome.SPLIT, split={line.id: 1}
    )
    shown = plain(texts(made(court.export(case))))
    for wanted in (
        "titre : Un vélo",
        "nature : prix",
        "étape : remise",
        "montant : 65,00 EUR",
        "frais de la personne qui paie : 1,30 EUR",
        "nature : caution",
        "étape : retour",
        "montant : 1000 JPY",
        "prévue le : 2027-03-01 06:00:00 UTC",
        "à la charge de : la personne payée",
        "holidays : non",
        "reminders before hours : 24, 2",
        "comment : par le code dit en personne",
        "offre faite (la personne qui paie)",
        f"{encode('leg', line.id)} : 0,01 EUR",
        "personne désignée (le tirage au sort)",
    ):
        assert wanted in shown, wanted
    assert "frais de la personne payée" not in shown


def test_an_amount_of_a_unit_that_is_not_known_stays_as_it_is() -> None:
    reader = Reader("en", {"EUR": 2}, {})
    told = list(reader.lines({"amount": 150, "unit": "SHELLS"}))
    assert told == [("amount: 150 / SHELLS", 0)]
    assert reader.actor("mediator:1") == "mediator 1"
    assert reader.actor("somebody") == "somebody"
    assert reader.entry("something_new") == "something new"


def test_an_open_case_and_one_that_waits_say_so(court: Court) -> None:
    shown = plain(texts(made(court.export(court.claimed()))))
    assert "Aucune décision n'a encore été annoncée aux deux personnes." in shown
    shown = plain(texts(made(court.export(court.told(Outcome.CANNOT_DECIDE)), "en")))
    assert "Final: no: an appeal, or the return of goods, is still possible" in shown
    assert "Read before it was told by: md_" in shown


def test_lines_of_deliberation_have_their_hash_alone(court: Court) -> None:
    case = court.written(court.claimed(), Outcome.CANNOT_DECIDE)
    export = court.export(case)
    shown = plain(texts(made(export)))
    assert "(délibération des personnes qui décident" in shown
    (kept,) = [line for line in export["journal"] if "withheld" in line]
    assert kept["hash"] in shown


def test_an_appeal_is_told_with_what_came_of_it(court: Court) -> None:
    case = court.told()
    case = court.act(case, "appeal", member_id=case.payee_id, reason_code="procedure", text="No.")
    court.now = case.due_at
    shown = plain(texts(made(court.export(court.act(case, "end_appeal")), "en")))
    assert (
        "Appeal: asked for by: who is paid (an error of procedure); not heard yet, or not in time"
        in shown
    )


def test_every_language_has_the_same_words() -> None:
    def names(of: Any, before: str = "") -> set[str]:
        found: set[str] = set()
        for name, inner in of.items():
            found |= (
                names(inner, f"{before}{name}.") if isinstance(inner, dict) else {before + name}
            )
        return found

    first, *others = (catalogue.words(language) for language in catalogue.LANGUAGES)
    assert all(names(other) == names(first) for other in others)
    for language in catalogue.LANGUAGES:
        for group in catalogue.words(language).values():
            for text in group.values() if isinstance(group, dict) else [group]:
                assert paper.writable(text) == text, (language, text)


def test_every_code_of_a_case_has_a_word() -> None:
    said = catalogue.words("fr")
    assert set(said["outcomes"]) >= set(outcomes.Outcome)
    assert set(said["stages"]) >= set(model.Stage)
    assert set(said["causes"]) >= set(model.Cause)
    assert set(said["sides"]) >= set(outcomes.Presumed)
    assert set(said["reasons"]) >= {*reasons.REASONS, reasons.SILENCE.code}
    asked = {one for reason in reasons.REASONS.values() for one in reason.questions}
    assert set(said["questions"]) >= asked
    assert set(said["entries"]) >= TOLD | exports.SHOWN
    assert set(said["grounds"]) >= rulings.REASON_CODES
