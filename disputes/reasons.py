"""Why somebody may claim, as data: per reason its kinds, questions, evidence and presumption.

A reason decides nothing. It says what is asked of whom, so that a case begins with the facts that
whoever decides will need, and what holds when nobody can tell.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from disputes.outcomes import Outcome, Presumed, Side
from ledger.refusals import Refusal

_GOODS: Final = frozenset({"sale", "rental", "loan", "gift"})
_BACK: Final = frozenset({"rental", "loan"})
_WORK: Final = frozenset({"service", "help", "mixed"})
_ALL: Final = _GOODS | _WORK


class UnknownReason(Refusal):
    """A reason that does not exist, or not for this kind of exchange or this side."""

    code = "unknown_reason"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason to claim.

    ``questions`` are answered by the claimant, ``asked`` by the other side; ``needs`` names the
    sorts of evidence without which a claim is not complete, and ``helps`` those that may be asked
    for: nothing else may be asked of a party. ``outcomes`` are what may be decided.
    """

    code: str
    kinds: frozenset[str]
    by: frozenset[Side]
    questions: tuple[str, ...]
    asked: tuple[str, ...]
    needs: frozenset[str]
    helps: frozenset[str]
    presumed: Presumed
    outcomes: frozenset[Outcome]
    #: A mediator looks at once, without direct talk: talking to the other side may do harm.
    at_once: bool = False


_PAYER: Final = frozenset({Side.PAYER})
_PAYEE: Final = frozenset({Side.PAYEE})
_EITHER: Final = frozenset(Side)
_USUAL: Final = frozenset(
    {Outcome.TO_PAYER, Outcome.TO_PAYEE, Outcome.SPLIT, Outcome.CANNOT_DECIDE}
)
_RETURN: Final = _USUAL | {Outcome.RETURN_THEN_REFUND}
_PHOTO: Final = frozenset({"photo"})
_TEXT: Final = frozenset({"text"})

_LIST: Final = (
    Reason(
        "not_received",
        _GOODS,
        _PAYER,
        ("when_expected", "what_was_said"),
        ("how_handed_over", "when_handed_over"),
        frozenset(),
        _TEXT | _PHOTO | {"carrier", "handover_proof"},
        Presumed.PAYER,
        _USUAL | {Outcome.NO_SHOW_PAYEE, Outcome.NO_SHOW_PAYER},
    ),
    Reason(
        "not_as_described",
        _ALL,
        _PAYER,
        ("what_differs", "when_noticed"),
        ("what_was_promised",),
        _PHOTO,
        _TEXT | _PHOTO | {"document", "condition_out"},
        Presumed.HALVES,
        _RETURN,
    ),
    Reason(
        "damaged",
        _GOODS,
        _PAYER,
        ("what_is_damaged", "when_noticed"),
        ("condition_before",),
        _PHOTO,
        _TEXT | _PHOTO | {"document", "carrier", "condition_out"},
        Presumed.HALVES,
        _RETURN,
    ),
    Reason(
        "counterfeit",
        frozenset({"sale"}),
        _PAYER,
        ("how_known",),
        ("where_from",),
        _PHOTO,
        _TEXT | _PHOTO | {"document"},
        Presumed.PAYER,
        _USUAL,
    ),
    Reason(
        "no_show",
        _ALL,
        _EITHER,
        ("where_and_when_agreed", "how_long_waited"),
        ("where_were_you",),
        frozenset(),
        _TEXT | _PHOTO | {"handover_proof"},
        Presumed.PAYER,
        _USUAL | {Outcome.NO_SHOW_PAYEE, Outcome.NO_SHOW_PAYER},
    ),
    Reason(
        "not_done",
        _WORK,
        _PAYER,
        ("what_is_missing",),
        ("what_was_done",),
        frozenset(),
        _TEXT | _PHOTO | {"document"},
        Presumed.HALVES,
        _USUAL,
    ),
    Reason(
        "not_confirmed",
        _ALL,
        _PAYEE,
        ("what_was_done", "when_handed_over"),
        ("why_not_confirmed",),
        frozenset(),
        _TEXT | _PHOTO | {"document", "carrier", "handover_proof"},
        Presumed.PAYER,
        _USUAL | {Outcome.NO_SHOW_PAYER},
    ),
    Reason(
        "deposit_damage",
        _BACK,
        _PAYEE,
        ("what_is_damaged", "what_repair_costs"),
        ("condition_at_return",),
        _PHOTO,
        _TEXT | _PHOTO | {"document", "condition_out", "condition_back"},
        Presumed.PAYER,
        _USUAL,
    ),
    Reason(
        "not_returned",
        _BACK,
        _PAYEE,
        ("when_due_back", "what_was_said"),
        ("where_is_it",),
        frozenset(),
        _TEXT | _PHOTO | {"handover_proof", "condition_out"},
        Presumed.PAYEE,
        _USUAL,
    ),
    Reason(
        "unauthorised",
        _ALL,
        _PAYER,
        ("how_noticed",),
        ("what_do_you_know",),
        frozenset(),
        _TEXT | {"document"},
        Presumed.PAYER,
        _USUAL,
        at_once=True,
    ),
    Reason(
        "pressure_or_scam",
        _ALL,
        _EITHER,
        ("what_happened",),
        ("what_do_you_know",),
        frozenset(),
        _TEXT | _PHOTO | {"document"},
        Presumed.PAYER,
        _USUAL,
        at_once=True,
    ),
)
REASONS: Final = {reason.code: reason for reason in _LIST}

#: Nobody claims: both are silent, or the time to hold comes to its end.
SILENCE: Final = Reason(
    "silence",
    _ALL,
    frozenset(),
    (),
    ("was_it_handed_over",),
    frozenset(),
    _TEXT | _PHOTO | {"carrier", "handover_proof"},
    Presumed.PAYER,
    _USUAL | {Outcome.NO_SHOW_PAYEE, Outcome.NO_SHOW_PAYER},
    at_once=True,
)


def find(code: str, kind: str, by: Side) -> Reason:
    """Return a reason that ``by`` may give in an exchange of this kind.

    Raises:
        UnknownReason: with the reasons that there are.
    """
    reason = REASONS.get(code)
    if reason is None or kind not in reason.kinds or by not in reason.by:
        raise UnknownReason(
            f"A {by} of a {kind} may claim for one of: {', '.join(open_to(kind, by))}.",
            pointer="/reason",
            reasons=open_to(kind, by),
        )
    return reason


def open_to(kind: str, by: Side) -> list[str]:
    """Return the reasons that a side of this kind of exchange may give."""
    return [code for code, one in REASONS.items() if kind in one.kinds and by in one.by]


def missing(reason: Reason, given: Collection[str]) -> list[str]:
    """Return the sorts of evidence that a claim still needs to be complete."""
    return sorted(reason.needs - set(given))
