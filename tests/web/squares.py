"""What a phone's camera reads off the square of an exchange."""

from __future__ import annotations

from service import db
from service.exchanges import queries
from service.exchanges.model import Exchange
from service.exchanges.proofs import Prover
from service.ids import decode
from tests.http.deal import Deal


def exchange_of(deal: Deal) -> Exchange:
    """The exchange of a deal as the domain has it."""
    platform_id = deal.platform_id
    with db.transaction(deal.engine, platform_id) as connection:
        return queries.find(connection, platform_id, decode("exchange", deal.exchange["id"]))


def prover_of(deal: Deal) -> Prover:
    """The prover of the instance."""
    prover: Prover = deal.api.server.app.state.edge.prover
    return prover


def square_of(deal: Deal) -> str:
    """The proof that the square of a deal's current code holds."""
    return prover_of(deal).sign(exchange_of(deal))
