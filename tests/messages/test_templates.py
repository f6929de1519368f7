"""Every message exists whole in every language, and nobody's text can harm it."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import product
from typing import Any, Final

import pytest

from ledger.units import Unit, iso
from service.events import catalogue
from service.messages import words
from service.messages.compose import compose
from service.messages.rules import RULES, TEMPLATES

URL: Final = "https://tierce.test/l/a-token"
FULL: Final[dict[str, Any]] = {
    "name": "Rozenn",
    "platform": "Trocante",
    "amount": "65,00 €",
    "title": "Un vélo",
    "other": "Anna",
    "role": "payer",
    "paid": "65,00 €",
    "gets": "60,00 €",
    "share": "60,00 €",
    "due": "lundi 1 mars 2027 à 10:00",
    "checkpoint": "la remise",
    "holds_code": True,
    "enters_code": True,
    "confirmed": True,
    "task": "payer",
    "goods": "l'argent",
    "Goods": "L'argent",
    "cause": "claim",
    "claim": "Cela est arrivé abîmé",
    "disputed": "65,00 €",
    "stage": "talk",
    "outcome": "un partage",
    "mine": "40,00 €",
    "theirs": "25,00 €",
    "extra_mine": "2 heures",
    "extra_theirs": None,
    "said": "Le cadre est fendu.",
    "asked": "Comment l'avez-vous remis ?",
    "neutral": "Maud Le Goff",
    "stands": True,
    "flagged": False,
    "helper": "Maud",
    "deed": "payer",
    "through": "helper",
    "allowed": "regarder, payer",
    "limit": "65,00 €",
    "until": "lundi 1 mars 2027",
    "helped": "Rozenn",
}
#: As little as a message may have to go on: no names, no figures, no deadline.
BARE: Final[dict[str, Any]] = {
    **dict.fromkeys(FULL),
    "platform": "Trocante",
    "title": "Un vélo",
    "other": "Anna",
    "role": "payee",
    "holds_code": False,
    "enters_code": False,
    "confirmed": False,
    "checkpoint": "la remise",
    "task": "payer",
    "goods": "ce qui est payé",
    "Goods": "Ce qui est payé",
    "cause": "silence",
    "claim": "Personne ne répond",
    "disputed": "65,00 €",
    "stage": "mediation",
    "outcome": "un partage",
    "asked": "Une photo",
    "stands": False,
    "flagged": False,
    "helper": "Maud",
    "deed": "payer",
    "allowed": "regarder",
    "until": "lundi 1 mars 2027",
}
#: Everyday English words that French and Breton do not have.
ENGLISH: Final = re.compile(
    r"\b(the|you|your|is|are|has|was|will|both|money|nothing|when|this|that|it|exchange)\b", re.I
)
HOSTILE: Final = (
    "x\r\nBcc: all@example.org\n\n<script>alert(1)</script> \u202egnp.exe http://bad.test"
)


class _Text(HTMLParser):
    """Collects what is read, the tags, and where links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def _read(html: str) -> _Text:
    parser = _Text()
    parser.feed(html)
    return parser


@pytest.mark.parametrize(("template", "locale"), list(product(TEMPLATES, words.LOCALES)))
@pytest.mark.parametrize("values", [FULL, BARE, {**FULL, "role": "payee"}])
def test_every_template_is_written_in_every_language_with_both_parts(
    template: str, locale: str, values: dict[str, Any]
) -> None:
    if values is BARE and template in {"refund_sent", "payout_sent"}:
        values = {**BARE, "amount": "65,00 €"}
    if values is BARE and template == "payment_protected":
        values = {**BARE, "paid": "65,00 €"}
    if values is BARE and template == "helper_invited":
        values = {**BARE, "helped": "Rozenn"}
    written = compose(template, locale, values, URL)
    assert written.subject
    assert "\n" not in written.subject
    page = _read(written.html)
    for part in (written.plain, " ".join(page.said), written.subject):
        assert "None" not in part
        assert "{" not in part
        assert "  " not in part.replace("-- \n", "").strip() or part != written.plain
    assert page.links == [URL]
    assert page.tags.count("a") == 1
    assert f"\n{URL}\n" in written.plain
    assert re.search(r'lang="(fr|en|br)"', written.html)
    # Both parts say the same.
    for paragraph in written.plain.split("\n\n")[1:-3]:
        assert paragraph in page.said


@pytest.mark.parametrize("locale", words.LOCALES)
def test_the_languages_have_the_same_templates_and_words(locale: str) -> None:
    every = {**words.catalogue(locale, "messages"), **words.catalogue(locale, "cases")}
    assert sorted(every) == list(TEMPLATES)
    for template, said in every.items():
        assert sorted(said) == ["button", "subject", "text"], template
    for name in ("words", "mediators"):
        assert _shape(words.catalogue(locale, name)) == _shape(words.catalogue("fr", name))


def _shape(found: Any) -> Any:
    return {k: _shape(v) for k, v in sorted(found.items())} if isinstance(found, dict) else None


@pytest.mark.parametrize(
    ("name", "locale"), list(product(("messages", "cases", "words", "mediators"), ("fr", "br")))
)
def test_no_english_is_left_in_french_or_breton(name: str, locale: str) -> None:
    file = words._FOLDER / locale / f"{name}.toml"
    values = "\n".join(_texts(tomllib.loads(file.read_text(encoding="utf-8"))))
    said = re.sub(r"\{[{%].*?[%}]\}", " ", values)
    assert ENGLISH.findall(said) == []


def _texts(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [text for value in found.values() for text in _texts(value)]
    return [found]


@pytest.mark.parametrize("locale", words.LOCALES)
def test_members_never_read_the_lawyers_word_for_it(locale: str) -> None:
    for name in ("messages", "cases", "words", "mediators"):
        said = (words._FOLDER / locale / f"{name}.toml").read_text(encoding="utf-8").lower()
        for word in ("séquestre", "sequestre", "escrow", "sekestr"):
            assert word not in said


@pytest.mark.parametrize(("template", "locale"), list(product(TEMPLATES, words.LOCALES)))
def test_a_sentence_about_somebody_without_a_name_begins_with_a_capital(
    template: str, locale: str
) -> None:
    somebody = words.catalogue(locale, "words")["somebody"]
    written = compose(template, locale, {**FULL, "other": somebody}, URL)
    for part in (written.subject, written.plain):
        assert not re.search(rf"(^|[.!?]\s+){re.escape(somebody)}", part, re.MULTILINE), part


@pytest.mark.parametrize("locale", words.LOCALES)
def test_hostile_text_is_only_text(locale: str) -> None:
    hostile = words.clean(HOSTILE)
    values = FULL | dict.fromkeys(
        ("title", "other", "name", "platform", "neutral", "said"), hostile
    )
    for template in TEMPLATES:
        written = compose(template, locale, values, URL)
        page = _read(written.html)
        assert "script" not in page.tags
        assert page.links == [URL]
        assert not set("\r\n") & set(written.subject)
        assert "\nBcc:" not in written.plain
        assert "http://bad" not in written.plain + written.html
        assert "\u202e" not in written.plain + written.html + written.subject


def test_a_long_title_leaves_room_for_ours() -> None:
    assert len(words.clean("long " * 100)) <= 120


@pytest.mark.parametrize(
    ("minor", "unit", "locale", "written"),
    [
        (6_500, iso("EUR"), "fr", "65,00 €"),
        (6_500, iso("EUR"), "en", "€65.00"),
        (6_500, iso("EUR"), "br", "65,00 €"),
        (1_050, iso("JPY"), "fr", "1 050 JPY"),
        (12_345, iso("IQD"), "fr", "12,345 IQD"),
        (1_234, iso("TND"), "en", "TND1.234"),
        (2**63 - 1, iso("EUR"), "fr", "92 233 720 368 547 758,07 €"),
        (250, Unit("HOURS", 2, "heures", True), "fr", "2,50 heures"),
        (3, Unit("BREAD", 0, "breads", True), "en", "3 breads"),
    ],
)
def test_amounts_are_exact_with_the_decimals_of_the_unit(
    minor: int, unit: Unit, locale: str, written: str
) -> None:
    assert re.sub(r"\s", " ", words.amount(minor, unit, locale)) == written


def test_several_amounts_are_one_phrase_and_nothing_is_none() -> None:
    units = {"EUR": iso("EUR"), "HOURS": Unit("HOURS", 2, "heures", True)}
    several = words.several({"EUR": 6_500, "HOURS": 200}, units, "fr")
    assert several == "65,00\xa0€ et 2,00 heures"
    assert words.several({"EUR": 0}, units, "fr") is None


def test_instants_are_in_the_member_s_zone_and_language() -> None:
    at = datetime(2027, 7, 1, 22, 30, tzinfo=UTC)
    assert words.instant(at, "Europe/Paris", "fr") == "vendredi 2 juillet 2027 à 0\u202fh\u202f30"
    assert words.instant(at, "Europe/Paris", "en") == "Friday 2 July 2027 at 00:30"
    assert words.instant(at, "Europe/Paris", "br") == "Gwener 2 a viz Gouere 2027 da 0e30"
    assert words.instant(at, "Indian/Reunion", "fr") == "vendredi 2 juillet 2027 à 2\u202fh\u202f30"


def test_every_line_of_the_table_names_a_template_once_for_each_side() -> None:
    for event, tells in RULES.items():
        assert tells, event
        assert len({(tell.template, tell.to) for tell in tells}) == len(tells), event


def test_every_event_that_is_told_is_one_that_can_happen() -> None:
    assert set(RULES) <= set(catalogue.TYPES)
    assert "message.bounced" in catalogue.TYPES
    assert "message.bounced" not in RULES  # who cannot be reached is not told of it


@pytest.mark.parametrize("locale", ["fr", "br"])
def test_quotation_marks_never_part_from_what_they_hold(locale: str) -> None:
    written = compose("payment_received", locale, FULL, URL)
    assert "«\u202fUn vélo\u202f»" in written.plain
    for said in (written.subject, written.plain):
        assert not re.search(r"« | »", said)


def test_french_signs_stand_behind_a_narrow_space_that_does_not_break() -> None:
    for template in TEMPLATES:
        said = compose(template, "fr", {**FULL, "asked": "Où"}, URL).plain
        assert not re.search(r"[^\d] [;!?»]|\w :(?!//)", said), said
