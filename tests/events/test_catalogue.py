"""Every event that the code can emit is in the catalogue, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine

import service
from service import db
from service.events import outbox
from service.events.catalogue import FAMILIES, TYPES, UnknownEventType, check_filter
from service.exchanges.casework import TOLD
from service.messages.rules import RULES

_ROOT: Final = Path(service.__file__).parent
#: Providers have events of their own, and tables columns.
_NOT_OURS: Final = (
    "payments/stripe/",
    "payments/sandbox",
    "events/catalogue.py",
    "events/payloads.py",  # of fields; test_payloads looks at its types
    "service/web/",  # names of words
)
_COLUMN: Final = re.compile(r".*\.platform_id|message\.html")
_TYPE: Final = re.compile(rf"({'|'.join(FAMILIES)})\.[a-z_]+")
#: Names that are put together, with all that they can become.
_COMPOSED: Final = {
    "{}.{}": {
        f"{kind}.{end}"
        for kind in ("refund", "payout", "reversal")
        for end in ("succeeded", "failed")
    },
    "{}.returned": {"refund.returned", "payout.returned", "reversal.returned"},
    "chargeback.{}": {
        f"chargeback.{word}" for word in ("opened", "updated", "won", "lost", "closed")
    },
    "exchange.{}_proposed": {"exchange.settlement_proposed", "exchange.cancellation_proposed"},
    "case.{}": {f"case.{line}" for line in TOLD},
}


def _texts() -> Iterator[str]:
    """Yield every text of the code that could name an event; parts put in at run time are {}."""
    for path in sorted(_ROOT.rglob("*.py")):
        if any(part in path.as_posix() for part in _NOT_OURS):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                parts = (
                    one.value if isinstance(one, ast.Constant) else "{}" for one in node.values
                )
                yield "".join(map(str, parts))


def _named() -> set[str]:
    return {one for one in _texts() if _TYPE.fullmatch(one) and not _COLUMN.fullmatch(one)}


def test_every_type_that_the_code_names_is_in_the_catalogue() -> None:
    assert _named() - TYPES.keys() == set()


def test_every_type_in_the_catalogue_is_one_that_the_code_emits() -> None:
    texts = set(_texts())
    composed = {name for form in _COMPOSED if form in texts for name in _COMPOSED[form]}
    catalogue = (_ROOT / "events/catalogue.py").read_text()
    by_name = {name for name in TYPES if re.search(rf'^[A-Z]+: Final = "{name}"$', catalogue, re.M)}
    assert TYPES.keys() - _named() - composed - by_name == set()


def test_every_event_that_members_are_told_of_is_in_the_catalogue() -> None:
    assert set(RULES) <= TYPES.keys()


def test_an_event_that_is_not_in_the_catalogue_is_a_bug(engine: Engine, platform_id: UUID) -> None:
    event = outbox.NewEvent("exchange.vanished", {})
    with (
        db.transaction(engine, platform_id) as connection,
        pytest.raises(ValueError, match=r"exchange\.vanished"),
    ):
        outbox.append(connection, platform_id, [event], datetime.now(UTC))


def test_each_type_says_in_one_sentence_what_it_means() -> None:
    for one in TYPES.values():
        assert re.fullmatch(r"[A-Z][^.!?]+[.]", one.meaning), one.name
        assert one.version >= 1
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", one.name)


@pytest.mark.parametrize("wanted", [["*"], ["exchange.*", "payout.failed"], list(TYPES)])
def test_types_families_and_all_make_a_filter(wanted: list[str]) -> None:
    assert check_filter([*wanted, *wanted]) == wanted


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("exchange.complete", "exchange.completed"),
        ("exchanges.*", "exchange.*"),
        ("payout.suceeded", "payout.succeeded"),
        ("Exchange.completed", "exchange.completed"),
    ],
)
def test_a_type_that_does_not_exist_is_refused_naming_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownEventType) as refused:
        check_filter(["*", wrong])
    assert nearest in refused.value.facts["nearest"]
    assert nearest in refused.value.detail
    assert refused.value.pointer == "/events/1"


@pytest.mark.parametrize("wrong", ["", "exchange", "exchange.", "*.completed", "**", "'; --"])
def test_what_is_no_type_at_all_is_refused(wrong: str) -> None:
    with pytest.raises(UnknownEventType):
        check_filter([wrong])
