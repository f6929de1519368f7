"""What each side of a problem has said and been asked, as a member's page of it shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from disputes import requests
from disputes.model import Case
from disputes.outcomes import Side
from disputes.requests import Request
from service.http.dispute_words import words as said_in_all
from service.ids import encode
from service.messages import words
from service.web.member.scene import Scene

#: What a side may be asked for that is no file.
_WRITTEN: Final = frozenset({None, "text"})


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that a neutral asks of the member: in which words, until when, as file or text."""

    id: str
    words: str
    due: str
    is_file: bool
    takes_pdf: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """What was claimed: by whom, why, and every answer in the words of who gave it."""

    by: str
    reason: str
    answers: Sequence[tuple[str, str]]
    text: str
    #: What helps to decide, and what the other side may answer; only while that is of use.
    helps: Sequence[str]
    prompts: Sequence[str]


def claim(scene: Scene, case: Case, shown: Mapping[str, Any]) -> Claim:
    """Return what the problem is, from where the member stands."""
    question, locale = shown["question"], scene.locale
    mine = case.claimant is not None and case.claimant == Side(scene.role)
    name = "nobody" if case.claimant is None else "mine" if mine else "theirs"
    answers = [(one["words"][locale], words.harmless(one["answer"])) for one in question["answers"]]
    return Claim(
        by=scene.say(f"told.{name}"),
        reason=question["words"][locale],
        answers=answers,
        text=words.harmless(question["text"] or ""),
        helps=[one["words"][locale] for one in question["evidence_needed"]],
        prompts=[] if mine else [one["words"][locale] for one in question["asked"]],
    )


def asked(connection: Connection, scene: Scene, case: Case) -> list[Asked]:
    """Return what a neutral asks of the member and has no answer yet."""
    return [_asked(scene, one) for one in waiting(connection, case, Side(scene.role))]


def waiting(connection: Connection, case: Case, side: Side) -> list[Request]:
    """Return what is asked of a side and not answered, oldest first."""
    found = requests.of_case(connection, case.platform_id, case.id)
    return [one for one in found if one.side is side and one.answered_at is None]


def _asked(scene: Scene, one: Request) -> Asked:
    group, code = ("questions", one.question) if one.sort is None else ("sorts", one.sort)
    return Asked(
        id=encode("evidence_request", one.id),
        words=said_in_all(group, str(code))[scene.locale],
        due=scene.instant(one.due_at),
        is_file=one.sort not in _WRITTEN,
        takes_pdf=one.sort == "document",
    )
