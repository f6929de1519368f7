"""Who may not take a case, and why: one small rule for each reason. Pure.

A rule looks at one person and one case and says yes or no. All of them are asked of everybody, so
that the record names each reason that kept somebody off, and not only the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from disputes.model import Case


class Part(StrEnum):
    """What somebody neutral does in a case."""

    MEDIATOR = "mediator"
    #: Reads a decision before anybody is told of it.
    SECOND = "second"
    #: Hears the appeal.
    PANEL = "panel"


class TieKind(StrEnum):
    """What ties a mediator to a platform or to a member."""

    #: Works for the platform.
    STAFF = "staff"
    HOUSEHOLD = "household"
    #: Helps the member, or is helped by them.
    HELPER = "helper"
    #: Pays or is paid by the same card or account.
    INSTRUMENT = "instrument"
    #: Whatever else they have declared, about a member or the whole platform.
    INTEREST = "interest"


@dataclass(frozen=True, slots=True)
class Tie:
    """A tie that somebody declared, or that was found. ``instrument`` is a SHA-256."""

    kind: TieKind
    platform_id: UUID | None = None
    member_id: UUID | None = None
    instrument: bytes | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """What a case asks of whoever takes it: all of ``languages`` and ``skills``.

    ``instruments``: SHA-256 of each payment instrument that one of the sides uses.
    """

    languages: frozenset[str] = frozenset()
    skills: frozenset[str] = frozenset()
    instruments: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mediator who serves the platform, with all that the rules look at."""

    id: UUID
    languages: frozenset[str]
    skills: frozenset[str]
    roles: frozenset[str]
    caseload_cap: int
    #: Open assignments now, on all platforms.
    caseload: int
    away_until: datetime | None = None
    ties: tuple[Tie, ...] = ()
    #: Was on another case, in the last 24 months, in which one of the two sides was a side.
    met: bool = False
    #: Was given this case before, or decides it again without knowing the decision.
    was_here: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """May this person take this part of this case now?"""

    candidate: Candidate
    case: Case
    part: Part
    need: Need
    now: datetime


#: By part: who has one of these roles may take it. Operators run the instance and decide nothing.
ROLES: Final = {
    Part.MEDIATOR: frozenset({"mediator"}),
    Part.SECOND: frozenset({"mediator", "supervisor"}),
    Part.PANEL: frozenset({"mediator", "supervisor"}),
}


def _with_a_side(question: Question, *kinds: TieKind) -> bool:
    case = question.case
    return any(
        tie.kind in kinds
        and tie.platform_id == case.platform_id
        and tie.member_id in (case.payer_id, case.payee_id)
        for tie in question.candidate.ties
    )


def is_staff(question: Question) -> bool:
    """Works for the platform on which the case is."""
    return any(
        tie.kind is TieKind.STAFF and tie.platform_id == question.case.platform_id
        for tie in question.candidate.ties
    )


def is_of_the_household(question: Question) -> bool:
    """Lives with one of the sides."""
    return _with_a_side(question, TieKind.HOUSEHOLD)


def is_a_helper(question: Question) -> bool:
    """Helps one of the sides, or is helped by one."""
    return _with_a_side(question, TieKind.HELPER)


def shares_an_instrument(question: Question) -> bool:
    """Pays or is paid by the same card or account as one of the sides."""
    return any(
        tie.kind is TieKind.INSTRUMENT and tie.instrument in question.need.instruments
        for tie in question.candidate.ties
    )


def has_an_interest(question: Question) -> bool:
    """Has declared an interest in one of the sides, or in the platform."""
    everywhere = any(
        tie.kind is TieKind.INTEREST
        and tie.member_id is None
        and tie.platform_id == question.case.platform_id
        for tie in question.candidate.ties
    )
    return everywhere or _with_a_side(question, TieKind.INTEREST)


def has_met_a_side(question: Question) -> bool:
    """Was on an earlier case of one of the sides, in the last 24 months."""
    return question.candidate.met


def is_or_was_on_it(question: Question) -> bool:
    """Is on this case, has left it, or has decided it."""
    case = question.case
    on_it = {case.mediator_id, case.second_id} | case.left
    if case.ruling is not None:
        on_it |= {*case.ruling.by, case.ruling.seconded_by}
    if case.appeal is not None:
        on_it |= {*case.appeal.panel}
    return question.candidate.was_here or question.candidate.id in on_it


def is_a_side(question: Question) -> bool:
    """Is one of the sides."""
    return question.candidate.id in (question.case.payer_id, question.case.payee_id)


def has_enough_cases(question: Question) -> bool:
    """Has as many cases as they take at once."""
    return question.candidate.caseload >= question.candidate.caseload_cap


def lacks_the_language(question: Question) -> bool:
    """Does not speak a language that both sides need."""
    return not question.need.languages <= question.candidate.languages


def lacks_the_skill(question: Question) -> bool:
    """Does not know the matter."""
    return not question.need.skills <= question.candidate.skills


def is_away(question: Question) -> bool:
    """Is away."""
    until = question.candidate.away_until
    return until is not None and until > question.now


def lacks_the_role(question: Question) -> bool:
    """Has no role in which this part may be taken."""
    return not ROLES[question.part] & question.candidate.roles


#: By code, as it stands in the record.
RULES: Final[dict[str, Callable[[Question], bool]]] = {
    "role": lacks_the_role,
    "party": is_a_side,
    "platform_staff": is_staff,
    "household": is_of_the_household,
    "helper": is_a_helper,
    "payment_instrument": shares_an_instrument,
    "interest": has_an_interest,
    "earlier_case": has_met_a_side,
    "on_this_case": is_or_was_on_it,
    "language": lacks_the_language,
    "skill": lacks_the_skill,
    "away": is_away,
    "caseload_full": has_enough_cases,
}


def reasons(question: Question) -> list[str]:
    """Return the codes of every rule that keeps this person off the case; none: they may."""
    return [code for code, applies in RULES.items() if applies(question)]
