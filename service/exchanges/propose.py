"""Propose exchanges, many in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from ledger import units
from ledger.refusals import Refusal
from ledger.units import Unit
from service.exchanges import agreement, store, tables, terms
from service.exchanges.advance import Done, Outcome
from service.exchanges.commands import Decision
from service.exchanges.decide import Rules
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, Place, State, Surroundings
from service.exchanges.refusals import ErasedMember, ExternalIdTaken, UnknownMember
from service.exchanges.steps import VERSION
from service.exchanges.terms import Draft
from service.ids import encode, uuid7
from service.payments import payees
from service.payments.payee import Readiness
from service.payments.port import Provider
from service.payments.providers import need
from service.platforms import members
from service.platforms.members import Member


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a platform asks for: two members, terms, who proposes and who has agreed already."""

    payer_id: UUID
    payee_id: UUID
    proposed_by: Role
    draft: Draft
    external_id: str | None = None
    #: The other side's agreement, given on the platform itself and vouched for by it.
    both_agreed: bool = False


def propose(
    connection: Connection,
    platform_id: UUID,
    proposals: Sequence[Proposal],
    provider: Provider | None,
    rules: Rules,
) -> list[Outcome]:
    """Create each exchange; answer one outcome each, in order.

    A proposal that is refused leaves no trace and does not touch the others.
    """
    wanted = {p.payer_id for p in proposals} | {p.payee_id for p in proposals}
    known = members.find_many(connection, platform_id, wanted, lock=True)
    found = find_units(connection, platform_id, [p.draft for p in proposals])
    taken = _taken(connection, platform_id, proposals)
    ready = _readiness(connection, platform_id, proposals, found, provider)
    outcomes: list[Outcome | Decision] = []
    for proposal in proposals:
        try:
            checked = _checked(proposal, known, found, taken, provider, rules.now)
            decision = _decide(platform_id, proposal, known, checked, ready, rules)
        except Refusal as refusal:
            outcomes.append(refusal)
            continue
        outcomes.append(decision)
        if proposal.external_id is not None:  # one that comes twice in a list is there once
            taken[proposal.external_id] = decision.exchange.id
    store.insert(connection, [one for one in outcomes if isinstance(one, Decision)], rules.now)
    return [Done(one.exchange) if isinstance(one, Decision) else one for one in outcomes]


def _readiness(
    connection: Connection,
    platform_id: UUID,
    proposals: Sequence[Proposal],
    found: Mapping[str, Unit],
    provider: Provider | None,
) -> Mapping[UUID, Readiness]:
    """Tell of each payee of money whether they can be paid, so that both know before they agree."""
    ids = {
        one.payee_id
        for one in proposals
        if any(leg.unit in found and not found[leg.unit].community for leg in one.draft.legs)
    }
    if provider is None or not ids:
        return {}
    return payees.readiness(connection, platform_id, ids, provider)


def find_units(
    connection: Connection, platform_id: UUID, drafts: Sequence[Draft]
) -> Mapping[str, Unit]:
    """Return the units named in ``drafts`` that exist, by code."""
    codes = {leg.unit for draft in drafts for leg in draft.legs}
    return units.find_many(connection, platform_id, codes)


def _taken(
    connection: Connection, platform_id: UUID, proposals: Sequence[Proposal]
) -> dict[str, UUID]:
    given = [p.external_id for p in proposals if p.external_id is not None]
    if not given:
        return {}
    exchange = tables.exchange
    rows = connection.execute(
        select(exchange.c.external_id, exchange.c.id).where(
            exchange.c.platform_id == platform_id, exchange.c.external_id.in_(given)
        )
    )
    return {row.external_id: row.id for row in rows}


def _checked(
    proposal: Proposal,
    known: Mapping[UUID, Member],
    found: Mapping[str, Unit],
    taken: Mapping[str, UUID],
    provider: Provider | None,
    now: datetime,
) -> terms.Checked:
    terms.parties_differ(proposal.payer_id, proposal.payee_id)
    for side, member_id in (("payer", proposal.payer_id), ("payee", proposal.payee_id)):
        member = known.get(member_id)
        if member is None:
            raise UnknownMember("No member with this id on this platform.", pointer=f"/{side}")
        if member.erased_at is not None:
            raise ErasedMember("This member's account was erased.", pointer=f"/{side}")
    if proposal.external_id is not None and proposal.external_id in taken:
        raise ExternalIdTaken(
            "Another exchange has this external_id.",
            pointer="/external_id",
            exchange=encode("exchange", taken[proposal.external_id]),
        )
    return check_terms(proposal.draft, found, provider, now)


def _decide(
    platform_id: UUID,
    proposal: Proposal,
    known: Mapping[UUID, Member],
    checked: terms.Checked,
    ready: Mapping[UUID, Readiness],
    rules: Rules,
) -> Decision:
    around = Surroundings(_place(known[proposal.payer_id]), _place(known[proposal.payee_id]))
    payout = None if checked.terms["provider"] is None else ready[proposal.payee_id]
    exchange = _new(platform_id, proposal, checked, around, payout, rules.now)
    decision = Decision(exchange)
    decision.note("exchange.proposed", by=proposal.proposed_by, terms_hash=exchange.terms_hash)
    if proposal.both_agreed:
        decision.note(
            "exchange.agreed", by=proposal.proposed_by.other, terms_hash=exchange.terms_hash
        )
        if not exchange.legs:
            agreement.activate(decision, rules.now, rules.codes)
    return decision


def check_terms(
    draft: Draft, found: Mapping[str, Unit], provider: Provider | None, now: datetime
) -> terms.Checked:
    """Check a draft's terms, and that money legs have a provider to hold them.

    Raises:
        InvalidTerms, UnknownUnit, NoProvider
    """
    checked = terms.check(draft, found, provider.name if provider else "", now)
    if checked.terms["provider"] is not None:
        need(provider)
    return checked


def _place(member: Member) -> Place:
    return Place(member.time_zone, member.country)


def _new(
    platform_id: UUID,
    proposal: Proposal,
    checked: terms.Checked,
    around: Surroundings,
    payout: Readiness | None,
    now: datetime,
) -> Exchange:
    by, agreed = proposal.proposed_by, proposal.both_agreed
    return Exchange(
        platform_id=platform_id,
        id=uuid7(),
        kind=proposal.draft.kind,
        state=State.AGREED if agreed else State.PROPOSED,
        version=1,
        steps_version=VERSION,
        payer_id=proposal.payer_id,
        payee_id=proposal.payee_id,
        external_id=proposal.external_id,
        proposed_by=by,
        payer_agreed_at=now if agreed or by is Role.PAYER else None,
        payee_agreed_at=now if agreed or by is Role.PAYEE else None,
        agreed_at=now if agreed else None,
        terms=checked.terms,
        terms_hash=checked.terms_hash,
        provider=checked.terms["provider"],
        proposed_at=now,
        legs=checked.legs,
        checkpoints=checked.checkpoints,
        around=around,
        payout=payout,
    )
