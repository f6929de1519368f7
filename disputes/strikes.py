"""Claims in bad faith: they cost time, never money, and take nobody's right to be heard.

Whoever decided a claim may find that it was made in bad faith. Somebody with several such strikes
waits longer before they can call a mediator to a claim of their own: the other side has more time
to answer. The claim is opened, and the end of direct talk brings a mediator, as for everybody.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import requests, store
from disputes.commands import Entry
from disputes.model import Case, Stage
from disputes.outcomes import Side
from disputes.refusals import NotYourCase
from ledger.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Rule:
    """After ``strikes`` within ``within``, a member's own claims stay in talk for ``wait``."""

    strikes: int
    within: timedelta
    wait: timedelta


RULE: Final = Rule(strikes=3, within=timedelta(days=180), wait=timedelta(days=7))
#: What bad faith is. To be wrong, or to prove too little, is none of it.
REASONS: Final = frozenset({"forged_evidence", "untrue_facts", "same_claim_again", "extortion"})


class StrikeInvalid(Refusal):
    """A strike for something that is not bad faith, or for who did not claim."""

    code = "strike_invalid"


class StrikeNotFound(Refusal):
    """No such strike, or it is not for whoever asks."""

    code = "strike_not_found"


class CoolDown(Refusal):
    """The member may call a mediator to this claim later, not yet."""

    code = "cool_down"


@dataclass(frozen=True, slots=True)
class Strike:
    """A claim found to have been made in bad faith; counts until ``expires_at`` or lifted."""

    id: UUID
    member_id: UUID
    case_id: UUID
    reason: str
    by_id: UUID
    at: datetime
    expires_at: datetime
    lifted_at: datetime | None


_ADD: Final = text(
    "INSERT INTO disputes.strike "
    "(platform_id, member_id, case_id, reason, by_id, at, expires_at) VALUES "
    "(:platform_id, :member_id, :case_id, :reason, :by_id, :now, :expires_at) "
    "ON CONFLICT (platform_id, case_id, member_id) DO NOTHING RETURNING id"
)
_OF: Final = text(
    "SELECT id, member_id, case_id, reason, by_id, at, expires_at, lifted_at "
    "FROM disputes.strike WHERE platform_id = :platform_id AND member_id = :member_id "
    "ORDER BY at, id"
)
_ONE: Final = text(
    "SELECT platform_id, id, member_id, case_id, reason, by_id, at, expires_at, lifted_at "
    "FROM disputes.strike WHERE id = :id"
)
_COUNT: Final = text(
    "SELECT count(*) FROM disputes.strike WHERE platform_id = :platform_id "
    "AND member_id = :member_id AND at <= :now AND at > :since AND expires_at > :now "
    "AND (lifted_at IS NULL OR lifted_at > :now)"
)
_LIFT: Final = text(
    "UPDATE disputes.strike SET lifted_at = :now, lifted_by_id = :by_id "
    "WHERE platform_id = :platform_id AND id = :id AND lifted_at IS NULL RETURNING case_id"
)


def add(
    connection: Connection,
    case: Case,
    member_id: UUID,
    by_id: UUID,
    reason: str,
    now: datetime,
    rule: Rule = RULE,
) -> bool:
    """Record that a claim was made in bad faith; return whether it was not on record before.

    The caller has locked the case; its journal says who found it, and why.

    Raises:
        NotYourCase: ``by_id`` did not decide the case.
        StrikeInvalid: the member did not make the claim, or the reason is none.
    """
    if case.ruling is None or by_id not in case.ruling.by:
        raise NotYourCase("Only who decided a case can find that it was claimed in bad faith.")
    if case.claimant is None or case.side_of(member_id) is not case.claimant:
        raise StrikeInvalid("Only the member who made the claim.", pointer="/member")
    if reason not in REASONS:
        raise StrikeInvalid(
            f"Bad faith is one of: {', '.join(sorted(REASONS))}.",
            pointer="/reason",
            reasons=sorted(REASONS),
        )
    values = {
        "platform_id": case.platform_id,
        "member_id": member_id,
        "case_id": case.id,
        "reason": reason,
        "by_id": by_id,
        "now": now,
        "expires_at": now + rule.within,
    }
    if connection.execute(_ADD, values).rowcount == 0:
        return False
    said = {"side": str(case.claimant), "ground": reason}
    requests.write_down(connection, case, [Entry("strike_given", f"mediator:{by_id}", said)], now)
    return True


def of_member(connection: Connection, platform_id: UUID, member_id: UUID) -> list[Strike]:
    """Return all strikes of a member, oldest first, those that count no more too."""
    rows = connection.execute(_OF, {"platform_id": platform_id, "member_id": member_id})
    return [Strike(**row._asdict()) for row in rows]


def find(connection: Connection, strike_id: UUID) -> tuple[UUID, Strike]:
    """Return a strike, and the platform that it is of.

    Raises:
        StrikeNotFound: there is none, or this transaction may not see it.
    """
    row = connection.execute(_ONE, {"id": strike_id}).one_or_none()
    if row is None:
        raise StrikeNotFound("No strike with this id.")
    values = row._asdict()
    platform_id: UUID = values.pop("platform_id")
    return platform_id, Strike(**values)


def claimant_of(case: Case) -> UUID:
    """Return the member who made the claim.

    Raises:
        StrikeInvalid: nobody did: it was opened by silence, a flag or a provider.
    """
    if case.claimant is None:
        raise StrikeInvalid("No member made a claim here.")
    return case.payer_id if case.claimant is Side.PAYER else case.payee_id


def lift(
    connection: Connection, platform_id: UUID, strike_id: UUID, now: datetime, by_id: UUID
) -> bool:
    """Take a strike back, such as after an appeal; return whether it stood. ``by_id``: who does."""
    values = {"platform_id": platform_id, "id": strike_id, "now": now, "by_id": by_id}
    lifted = connection.scalars(_LIFT, values).one_or_none()
    if lifted is None:
        return False
    case = store.load(connection, platform_id, [lifted], lock=True)[lifted]
    said = {"side": str(case.claimant)}
    requests.write_down(connection, case, [Entry("strike_lifted", f"mediator:{by_id}", said)], now)
    return True


def count(
    connection: Connection, platform_id: UUID, member_id: UUID, now: datetime, rule: Rule = RULE
) -> int:
    """Return how many strikes of a member count at an instant."""
    values = {
        "platform_id": platform_id,
        "member_id": member_id,
        "now": now,
        "since": now - rule.within,
    }
    found: int = connection.execute(_COUNT, values).scalar_one()
    return found


def check_call(
    connection: Connection, case: Case, member_id: UUID, now: datetime, rule: Rule = RULE
) -> None:
    """Check that no cool-down keeps a member from calling a mediator now.

    Only to their own claim, by the strikes there were when it was opened: later ones do not make
    it longer. The other side may call at any time, and so does the end of direct talk.

    Raises:
        CoolDown: not yet; ``from_when`` says from when.
    """
    if case.claimant is None or case.side_of(member_id) is not case.claimant:
        return
    from_when = case.opened_at + rule.wait
    if now >= from_when:
        return
    if count(connection, case.platform_id, member_id, case.opened_at, rule) >= rule.strikes:
        raise CoolDown(
            "After several claims in bad faith the other side has more time to answer first.",
            from_when=from_when.isoformat(),
        )


_HELD_BACK: Final = text(
    "SELECT w.case_id FROM unnest(CAST(:cases AS uuid[]), CAST(:members AS uuid[]), "
    "CAST(:opened AS timestamptz[])) AS w(case_id, member_id, opened_at) "
    "JOIN disputes.strike AS s ON s.platform_id = :platform_id AND s.member_id = w.member_id "
    "AND s.at <= w.opened_at AND s.at > w.opened_at - CAST(:within AS interval) "
    "AND s.expires_at > w.opened_at AND (s.lifted_at IS NULL OR s.lifted_at > w.opened_at) "
    "GROUP BY w.case_id HAVING count(*) >= :strikes"
)


def held_back(
    connection: Connection,
    platform_id: UUID,
    cases: Collection[Case],
    now: datetime,
    rule: Rule = RULE,
) -> frozenset[UUID]:
    """Return the cases to which :func:`check_call` would not let the claimant call anybody now."""
    waiting = [
        one
        for one in cases
        if one.claimant is not None and one.stage is Stage.TALK and now < one.opened_at + rule.wait
    ]
    if not waiting:
        return frozenset()
    values = {
        "platform_id": platform_id,
        "cases": [one.id for one in waiting],
        "members": [
            one.payer_id if one.claimant is Side.PAYER else one.payee_id for one in waiting
        ],
        "opened": [one.opened_at for one in waiting],
        "within": rule.within,
        "strikes": rule.strikes,
    }
    return frozenset(connection.scalars(_HELD_BACK, values))
