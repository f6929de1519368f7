"""What somebody is about to decide, as they wrote it: read, said back, and tried before it counts.

Amounts are written as people write them, ``40,50``; what cannot be read is said at its field, and
nothing that was written is lost.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from disputes.commands import Command, effect_of, reason_of
from disputes.model import Case
from disputes.outcomes import AGREEABLE, Outcome
from disputes.rulings import LEAST_REASONS, REASON_CODES
from disputes.templates import BLANK
from ledger.refusals import Refusal
from ledger.units import Unit
from service.ids import encode, uuid7
from service.web.desk.case_view import Scene
from service.web.desk.effects import Effect
from service.web.desk.frame import Form

#: Characters of somebody's own words.
MOST_TEXT: Final = 20_000
_FIGURES: Final = re.compile(r"(\d{1,15})(?:[.,](\d{0,6}))?")
_SPACES: Final = str.maketrans("", "", " \u00a0\u202f\t")


def minor(written: str, unit: Unit) -> int | None:
    """Return an amount as somebody wrote it, in minor units; None where it is none."""
    found = _FIGURES.fullmatch(written.translate(_SPACES))
    if found is None:
        return None
    decimals = (found[2] or "").rstrip("0")
    if len(decimals) > unit.exponent:
        return None  # a part of what cannot be parted
    return int(found[1] + decimals.ljust(unit.exponent, "0"))


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision, vote or proposal as it was written, and what is wrong with it, by field."""

    outcome: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    reason_code: str = ""
    text: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)
    split: Mapping[UUID, int] | None = None

    def command(self, step: str, scene: Scene) -> Command:
        """Return it as a step of the case."""
        return Command(
            step,
            uuid7(),
            mediator_id=scene.me.mediator_id,
            outcome=Outcome(self.outcome),
            split=self.split,
            reason_code=self.reason_code,
            text=self.text,
        )


def open_to(case: Case, step: str) -> frozenset[Outcome]:
    """Return the outcomes that may be named in a step."""
    return frozenset(AGREEABLE) if step == "propose" else reason_of(case).outcomes


def read(form: Form, scene: Scene, step: str, *, whole: bool) -> Draft:
    """Return what a form says.

    ``whole``: everything is asked for; else (to calculate) the outcome and its amounts alone.
    ``wrong`` names words of the catalogue, by the field that is at fault.
    """
    outcome = form.get("outcome", "")
    parts = {encode("leg", line.id): "" for line in scene.case.lines}
    parts = {leg: form.get(f"part.{leg}", "").strip()[:40] for leg in parts}
    text, code = form.get("text", ""), form.get("reason_code", "")
    wrong: dict[str, str] = {}
    if outcome not in open_to(scene.case, step):
        outcome, wrong["outcome"] = "", "outcome"
    split: dict[UUID, int] | None = None
    if outcome == Outcome.SPLIT:
        split = _split(scene, parts, wrong)
    if whole:
        check_words(step, text, code, wrong)
    return Draft(outcome, parts, code, text, wrong, split)


def _split(scene: Scene, parts: Mapping[str, str], wrong: dict[str, str]) -> dict[UUID, int]:
    split = {}
    for line in scene.case.lines:
        leg = encode("leg", line.id)
        found = minor(parts[leg], scene.purse.units[line.unit])
        if found is None:
            wrong[f"part.{leg}"] = "part"
        elif found > line.amount:
            wrong[f"part.{leg}"] = "part_too_much"
        else:
            split[line.id] = found
    return split


def check_words(step: str, text: str, code: str, wrong: dict[str, str]) -> None:
    """Add to ``wrong`` what is wrong with somebody's words and with what they rest on."""
    if len(text) > MOST_TEXT:
        wrong["text"] = "text_too_long"
    if step == "propose":
        if not text.strip():
            wrong["text"] = "text"
        return
    if step != "again" and code not in REASON_CODES:
        wrong["reason_code"] = "reason_code"
    if len(text.strip()) < LEAST_REASONS:
        wrong["text"] = "reasons"
    if BLANK.search(text):
        wrong["text"] = "blank"


def effect(draft: Draft, scene: Scene, step: str) -> Effect | None:
    """Return what a draft would move; None where it does not say so much yet."""
    if not draft.outcome or any(name.startswith("part.") for name in draft.wrong):
        return None
    try:
        command = draft.command("decide", scene)
        outcome, to_payee = effect_of(scene.case, command, open_to(scene.case, step))
    except Refusal:
        return None
    return scene.effect(outcome, to_payee)


def outcomes(scene: Scene, step: str, words: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what can be chosen, each with what it means and what it moves.

    ``words`` are those that members read of outcomes: whoever decides says the same.
    """
    allowed: Collection[Outcome] = open_to(scene.case, step)
    return [
        {
            "code": one.value,
            "name": scene.tongue.word("outcomes", one),
            "means": words["effects"][one],
        }
        for one in Outcome
        if one in allowed
    ]


def fields(scene: Scene) -> list[dict[str, str]]:
    """Return a field for each part of what is disputed, for what the payee gets of it."""
    return [
        {
            "field": f"part.{encode('leg', line.id)}",
            "leg": encode("leg", line.id),
            "name": scene.names[line.id],
            "whole": scene.purse.say(line.amount, line.unit),
            "unit": scene.purse.name(line.unit),
        }
        for line in scene.case.lines
    ]
