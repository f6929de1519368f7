"""An exchange that was disputed, from its claim to a receipt that proves how it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson
import pytest

from disputes.outcomes import Outcome
from service import db
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.exchanges.model import State
from service.ids import encode
from service.records import decisions, dossier, exports, receipts, verify
from service.records.receipts import NoReceipt
from service.records.verify import Keys
from tests.exchanges.conftest import world
from tests.exchanges.test_partial_claims import agree_on, claim, deposit, rented
from tests.exchanges.world import World
from tests.records.lives import ISSUER, SEALER

__all__ = ["world"]

DAMAGE = {"what_is_damaged": "The blade.", "what_repair_costs": "50 euros."}


@pytest.mark.parametrize("strategy", ["capture", "authorise"])
def test_a_receipt_an_export_and_a_decision_of_the_same_dispute_prove_each_other(
    world: World, published: Callable[[], Keys], strategy: str
) -> None:
    exchange = rented(world, strategy)
    leg = deposit(exchange)
    draft = ClaimDraft("deposit_damage", (leg.id,), {leg.id: 5_000}, DAMAGE)
    exchange = claim(world, exchange, Role.PAYEE, draft)
    assert exchange.case_id is not None
    case_id = exchange.case_id
    with db.transaction(world.engine, world.platform_id) as connection, pytest.raises(NoReceipt):
        receipts.receipt(connection, SEALER, world.platform_id, exchange.id, ISSUER, world.now)
    exchange = agree_on(world, exchange, 2_000)
    assert exchange.state in {State.SETTLED, State.COMPLETED}
    with db.transaction(world.engine, world.platform_id) as connection:
        receipt = receipts.receipt(
            connection, SEALER, world.platform_id, exchange.id, ISSUER, world.now
        )
        known = decisions.read(connection, world.platform_id, case_id, ISSUER)
        decision = decisions.signed_decision(connection, SEALER, known, world.now)
        export = exports.export(connection, SEALER, known, "platform", world.now)
    keys = published()
    said = verify.verify(receipt, keys).document
    assert said["cases"] == [
        {
            "case": encode("case", case_id),
            "outcome": Outcome.SPLIT,
            "sha256": hashlib.sha256(decision.encode()).hexdigest(),
        }
    ]
    for one in said["legs"]:
        held = one["amount"] + one["payer_fee"]
        assert one["to_payer"] + one["to_payee"] + one["to_fees"] == held
    by_leg = {one["leg"]: one for one in said["legs"]}
    (line,) = verify.verify(decision, keys).document["lines"]
    assert (line["to_payee"], line["to_payer"]) == (2_000, 3_000)
    assert by_leg[line["leg"]]["to_payee"] == 2_000
    read = orjson.loads(orjson.dumps(export))
    found = verify.verify_export(read, keys)
    assert found.decision is not None
    assert read["decision"] == decision
    assert read["file"]["agreed"]["terms_hash"] == said["terms_sha256"]
    for language in ("fr", "en", "br"):
        assert dossier.render(read, "0" * 64, language).startswith(b"%PDF-")


def test_an_exchange_without_a_dispute_has_a_receipt_without_a_case(
    world: World, published: Callable[[], Keys]
) -> None:
    exchange = world.funded(world.sale())
    world.both_confirm(exchange)
    world.sweep()
    with db.transaction(world.engine, world.platform_id) as connection:
        receipt = receipts.receipt(
            connection, SEALER, world.platform_id, exchange.id, ISSUER, world.now
        )
    said = verify.verify(receipt, published()).document
    assert (said["state"], said["cases"]) == ("completed", [])
