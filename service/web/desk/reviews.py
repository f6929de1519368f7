"""Short reviews: exchanges in which nobody answered, their facts laid out to be decided in a row.

Each gets its own outcome and its own reasons; several are sent at once, and one's refusal does not
touch another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.commands import Command
from disputes.outcomes import Outcome
from disputes.queue import Ticket
from disputes.reasons import SILENCE
from service.ids import encode, uuid7
from service.web.desk import case_view, drafts, tickets
from service.web.desk.frame import Form
from service.web.desk.tickets import Houses, Row
from service.web.desk.tongue import Purse, Tongue

#: How many stand on a page: as many as somebody can read with care in one sitting.
PAGE: Final = 10
_VERSIONS: Final = text("SELECT id, version FROM disputes.case WHERE id = ANY(:ids)")
#: What can be decided in a row. A split is decided on the page of the case, where it is calculated.
OUTCOMES: Final = tuple(
    one for one in Outcome if one in SILENCE.outcomes and one is not Outcome.SPLIT
)


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody wrote about one of them; ``wrong`` by field, as words of the catalogue."""

    taken: bool
    outcome: str
    reason_code: str
    text: str
    version: str
    wrong: Mapping[str, str] = field(default_factory=dict)

    def command(self, mediator_id: UUID) -> Command:
        """Return it as a step of its case."""
        return Command(
            "decide",
            uuid7(),
            mediator_id=mediator_id,
            outcome=Outcome(self.outcome),
            reason_code=self.reason_code,
            text=self.text,
        )


def said(form: Form, case_id: UUID, *, checked: bool) -> Said:
    """Return what a form says of one case; with ``checked``, also what is wrong with it."""
    prefix = encode("case", case_id)

    def given(name: str) -> str:
        return form.get(f"{prefix}.{name}", "")

    wrong: dict[str, str] = {}
    taken = bool(given("take"))
    if checked and taken:
        if given("outcome") not in OUTCOMES:
            wrong["outcome"] = "outcome"
        drafts.check_words("decide", given("text"), given("reason_code"), wrong)
    return Said(
        taken, given("outcome"), given("reason_code"), given("text"), given("version"), wrong
    )


def versions(connection: Connection, found: Sequence[Ticket]) -> dict[UUID, int]:
    """Return the versions of the tickets' cases, as they are now."""
    rows = connection.execute(_VERSIONS, {"ids": [one.case_id for one in found]})
    return {row.id: row.version for row in rows}


@dataclass(frozen=True, slots=True)
class Review:
    """A short review as its page shows it."""

    id: str
    row: Row
    title: str
    description: str | None
    facts: Mapping[str, Any]
    lines: Sequence[str]
    options: Sequence[Mapping[str, Any]]
    version: int
    said: Said


def review(ticket: Ticket, around: Houses, tongue: Tongue, version: int, written: Said) -> Review:
    """Return one's own short review with its facts, and what each outcome would move."""
    file = ticket.file
    assert file is not None  # it is theirs
    purse = around.purses[ticket.platform_id]
    agreed = file["agreed"]["terms"]
    return Review(
        id=encode("case", ticket.case_id),
        row=tickets.row(ticket, around, tongue),
        title=agreed["title"],
        description=agreed.get("description"),
        facts=case_view.facts(file, tongue),
        lines=[purse.say(line["amount"], line["unit"]) for line in file["lines"]],
        options=[_option(file, one, purse, tongue) for one in OUTCOMES],
        version=version,
        said=written,
    )


def _option(
    file: Mapping[str, Any], outcome: Outcome, purse: Purse, tongue: Tongue
) -> dict[str, Any]:
    """Return an outcome with what each side gets by it, as the case's file has it."""
    frozen = {one["outcome"]: one["to_payee"] for one in file["outcomes"]}[outcome]
    pairs = [(line, frozen[line["id"]]) for line in file["lines"]]
    return {
        "code": outcome.value,
        "name": tongue.word("outcomes", outcome),
        "to_payee": [purse.say(part, line["unit"]) for line, part in pairs],
        "to_payer": [purse.say(line["amount"] - part, line["unit"]) for line, part in pairs],
    }
