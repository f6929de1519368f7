"""The stories that a newcomer can begin: two neighbours, and terms as a platform sends them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from ledger.refusals import Refusal
from service.exchanges.advance import advance
from service.exchanges.commands import Command, Who
from service.exchanges.decide import Rules
from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.propose import Proposal, propose
from service.exchanges.terms import Draft, LegDraft
from service.payments.port import Provider
from service.platforms import members
from service.web.words import Speech

PAYER: Final = "Marie"
PAYEE: Final = "Yann"
_EURO: Final = "EUR"


@dataclass(frozen=True, slots=True)
class Story:
    """What is exchanged, for how much (minor units), and whether it is paid when it begins."""

    kind: Kind
    price: int
    deposit: int = 0
    paid: bool = False


STORIES: Final = {
    "sale": Story(Kind.SALE, 6_500),
    "rental": Story(Kind.RENTAL, 1_500, deposit=8_000),
    "problem": Story(Kind.SALE, 24_000, paid=True),
}


def begin(
    connection: Connection,
    platform_id: UUID,
    name: str,
    provider: Provider | None,
    rules: Rules,
    say: Speech,
) -> tuple[UUID, list[UUID]]:
    """Create two members and their exchange; return it, and the payments that are to be asked for.

    Raises:
        KeyError: no such story.
    """
    story = STORIES[name]
    people = {
        role: members.create(
            connection,
            platform_id,
            f"landing-{secrets.token_hex(6)}",
            rules.now,
            locale=say.locale,
            name=called,
            email=f"{called.lower()}.{secrets.token_hex(4)}@example.org",
        ).id
        for role, called in ((Role.PAYER, PAYER), (Role.PAYEE, PAYEE))
    }
    legs = [LegDraft(LegRole.PRICE, story.price, _EURO)]
    if story.deposit:
        legs.append(LegDraft(LegRole.DEPOSIT, story.deposit, _EURO))
    terms = Draft(story.kind, say(f"stories.{name}_title"), tuple(legs))
    proposal = Proposal(
        people[Role.PAYER], people[Role.PAYEE], Role.PAYEE, terms, both_agreed=story.paid
    )
    (outcome,) = propose(connection, platform_id, [proposal], provider, rules)
    if isinstance(outcome, Refusal):
        raise outcome
    exchange_id = outcome.exchange.id
    if not story.paid:
        return exchange_id, []
    who = Who(people[Role.PAYER], "member")
    pay = Command(exchange_id, "fund", who, payment_method="pm_sandbox_ok")
    (outcome,) = advance(connection, platform_id, [pay], rules)
    if isinstance(outcome, Refusal):
        raise outcome
    return exchange_id, [one.id for one in outcome.payments]
