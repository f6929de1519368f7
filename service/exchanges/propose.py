"""Propose exchanges, many in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    outcomes: list[Outcome | Decision] = []
    for proposal in proposals:
        try:
            outcomes.append(_decide(platform_id, proposal, known, found, taken, provider, rules))
        except Refusal as refusal:
            outcomes.append(refusal)
    made = [one for one in outcomes if isinstance(one, Decision)]
    store.insert(connection, made, rules.now)
    _tell_readiness(connection, platform_id, made, provider)
    return [Done(one.exchange) if isinstance(one, Decision) else one for one in outcomes]


def _tell_readiness(
    connection: Connection,
    platform_id: UUID,
    made: Sequence[Decision],
    provider: Provider | None,
) -> None:
    """Say of each payee whether they can be paid, so that both sides know before they agree."""
    if provider is None:
        return
    ids = {one.exchange.payee_id for one in made if one.exchange.provider is not None}
    ready = payees.readiness(connection, platform_id, ids, provider) if ids else {}
    for one in made:
        if one.exchange.provider is not None:
            one.exchange = replace(one.exchange, payout=ready[one.exchange.payee_id])


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


def _decide(
    platform_id: UUID,
    proposal: Proposal,
    known: Mapping[UUID, Member],
    found: Mapping[str, Unit],
    taken: dict[str, UUID],
    provider: Provider | None,
    rules: Rules,
) -> Decision:
    terms.parties_differ(proposal.payer_id, proposal.payee_id)
    for side, member_id in (("payer", proposal.payer_id), ("payee", proposal.payee_id)):
        member = known.get(member_id)
        if member is None:
            raise UnknownMember("No member with this id on this platform.", pointer=f"/{side}")
        if member.erased_at is not None:
            raise ErasedMember("This member's account was erased.", pointer=f"/{side}")
    if proposal.external_id in taken:
        raise ExternalIdTaken(
            "Another exchange has this external_id.",
            pointer="/external_id",
            exchange=encode("exchange", taken[proposal.external_id]),
        )
    checked = check_terms(proposal.draft, found, provider, rules.now)
    around = Surroundings(_place(known[proposal.payer_id]), _place(known[proposal.payee_id]))
    exchange = _new(platform_id, proposal, checked, around, rules.now)
    if proposal.external_id is not None:
        taken[proposal.external_id] = exchange.id
    decision = Decision(exchange)
    decision.note("exchange.proposed", by=proposal.proposed_by, terms_hash=exchange.terms_hash)
    if proposal.both_agreed:
        decision.exchange = replace(
            exchange,
            payer_agreed_at=rules.now,
            payee_agreed_at=rules.now,
            agreed_at=rules.now,
            state=State.AGREED,
        )
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
    now: datetime,
) -> Exchange:
    by = proposal.proposed_by
    return Exchange(
        platform_id=platform_id,
        id=uuid7(),
        kind=proposal.draft.kind,
        state=State.PROPOSED,
        version=1,
        steps_version=VERSION,
        payer_id=proposal.payer_id,
        payee_id=proposal.payee_id,
        external_id=proposal.external_id,
        proposed_by=by,
        payer_agreed_at=now if by is Role.PAYER else None,
        payee_agreed_at=now if by is Role.PAYEE else None,
        terms=checked.terms,
        terms_hash=checked.terms_hash,
        provider=checked.terms["provider"],
        proposed_at=now,
        legs=checked.legs,
        checkpoints=checked.checkpoints,
        around=around,
    )
