"""The statement of what is held: it sums to the ledger, and what it announces is what happens."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import Connection, Engine, text

from ledger.accounts import balances
from ledger.posting import Posting, Transfer, post, reverse
from service import db
from service.exchanges import held
from service.exchanges.fees import FeeRule
from service.exchanges.held import Line, Section, statement
from service.exchanges.held_text import COLUMNS, as_csv, as_json
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.ids import encode
from tests.exchanges.contested_world import ContestedWorld
from tests.exchanges.test_deposits import rental
from tests.exchanges.world import START, World

PAYER, PAYEE = Role.PAYER, Role.PAYEE
FEE = FeeRule(fixed=50, basis_points=200, borne_by="shared", on_refund="kept")


def lines(world: World) -> list[Line]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(statement(connection, world.platform_id))


def document(world: World) -> dict[str, Any]:
    with db.transaction(world.engine, world.platform_id) as connection:
        found = orjson.loads(b"".join(as_json(connection, world.platform_id, world.now)))
    assert isinstance(found, dict)
    return found


def table(world: World) -> list[dict[str, str]]:
    with db.transaction(world.engine, world.platform_id) as connection:
        written = b"".join(as_csv(connection, world.platform_id, world.now)).decode()
    return list(csv.DictReader(StringIO(written, newline="")))


def ledger_sums(connection: Connection, world: World) -> Counter[tuple[str, str]]:
    """The ledger's own balances by section and unit; what is zero is left out."""
    found: Counter[tuple[str, str]] = Counter()
    for one in balances(connection, world.platform_id):
        if one.balance:
            found[one.path.partition(":")[0], one.unit] += one.balance
    return found


def of(world: World, section: Section) -> list[Line]:
    return [line for line in lines(world) if line.section is section]


def default(world: World, exchange: Exchange) -> held.Default:
    (line,) = [
        line
        for line in of(world, Section.HOLD)
        if line.exchange is not None and line.exchange.id == exchange.id
    ]
    assert line.default is not None
    return line.default


def lived_in(world: World) -> None:
    """Fill every section that ordinary life can fill."""
    world.funded(world.sale(6_500, fee=FEE))
    done = world.funded(world.sale(3_000, fee=FEE))
    world.both_confirm(done)
    refused = world.funded(world.sale(20_404))  # this payout will fail: owed to the payee
    world.both_confirm(refused)
    world.sweep()
    world.funded(rental(world))
    helped = world.propose(world.draft("help", [("price", 200, "HOURS")]))
    world.step(helped, "fund", PAYER)
    mixed = world.propose(world.draft("mixed", [("price", 4_000, "EUR"), ("price", 300, "HOURS")]))
    world.step(mixed, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    late = world.funded(world.sale(1_000))
    world.both_confirm(late)  # nothing is swept after it: the payout stays in transit


def test_every_line_together_is_the_ledger_and_sums_to_zero_in_every_unit(world: World) -> None:
    lived_in(world)
    sums: Counter[tuple[str, str]] = Counter()
    found = lines(world)
    for line in found:
        sums[line.section.value, line.unit] += line.amount
    with db.transaction(world.engine, world.platform_id) as connection:
        assert sums == ledger_sums(connection, world)
    assert {line.section for line in found} == set(Section) - {
        Section.RECEIVABLE,
        Section.EXPENSE,
        Section.SUSPENSE,
    }
    for unit in ("EUR", "HOURS"):
        assert sum(line.amount for line in found if line.unit == unit) == 0
    assert len({(line.account, line.unit) for line in found}) == len(found)


def test_what_a_bank_took_a_provider_cost_and_nobody_explained_has_its_lines(world: World) -> None:
    exchange = world.funded(world.sale())
    moves = (
        Transfer(f"receivable:{exchange.id}", "provider:sandbox", 700, "EUR"),
        Transfer("expense:provider_fees", "provider:sandbox", 30, "EUR"),
        Transfer("provider:sandbox", "suspense:sandbox", 5, "EUR"),
    )
    with db.transaction(world.engine, world.platform_id) as connection:
        post(connection, world.platform_id, [Posting("x", "test", moves)], world.now)
    found = {line.section: line for line in lines(world)}
    assert found[Section.RECEIVABLE].amount == -700
    receivable = found[Section.RECEIVABLE].exchange
    assert receivable is not None
    assert receivable.id == exchange.id
    assert found[Section.EXPENSE].amount == -30
    assert found[Section.SUSPENSE].amount == 5
    back = tuple(Transfer(move.credit, move.debit, move.amount, move.unit) for move in moves)
    with db.transaction(world.engine, world.platform_id) as connection:
        post(connection, world.platform_id, [Posting("y", "test", back)], world.now)
    assert {line.section for line in lines(world)} == {Section.HOLD, Section.PROVIDER}


@pytest.mark.parametrize("amount", [6_500, 6_501])
def test_what_is_announced_for_the_hold_limit_is_what_happens_then(
    world: World, amount: int
) -> None:
    exchange = world.funded(world.sale(amount, fee=FEE))
    announced = default(world, exchange)
    assert announced.step == "reach_hold_limit"
    assert announced.due_at == START + timedelta(days=85)
    world.now = announced.due_at - timedelta(seconds=1)
    world.fire()
    assert [line.section for line in of(world, Section.HOLD)] == [Section.HOLD]
    assert default(world, exchange) == announced  # in review now: it ends the same way
    world.now = announced.due_at
    world.fire()
    assert of(world, Section.HOLD) == []
    leg = world.read(exchange).legs[0]
    assert leg.share is not None
    shared = (leg.share.to_payer, leg.share.to_payee, leg.share.to_fees)
    assert shared == (announced.to_payer, announced.to_payee, announced.to_fees)
    assert shared == (leg.held, 0, 0)
    (moving,) = of(world, Section.TRANSIT)
    assert (moving.amount, moving.payment_kind) == (leg.held, "refund")


def test_a_deposit_is_shown_as_blocked_at_the_bank_until_it_is_taken(world: World) -> None:
    exchange = world.funded(rental(world))
    shown = {str(line.leg.role): line for line in of(world, Section.HOLD) if line.leg is not None}
    assert (shown["price"].blocked, shown["price"].amount) == (False, 2_000)
    assert (shown["deposit"].blocked, shown["deposit"].amount) == (True, 15_000)
    assert shown["deposit"].default is not None
    assert shown["deposit"].default.to_payer == 15_000
    accounts = {line.account: line.amount for line in of(world, Section.PROVIDER)}
    assert accounts == {"provider:sandbox": -2_000, "provider:sandbox:authorised": -15_000}
    until = world.read(exchange).deposit_until
    assert until is not None
    world.pass_time(seconds=(until - world.now).total_seconds() - 3_600)
    assert not any(line.blocked for line in of(world, Section.HOLD))
    assert {line.account for line in of(world, Section.PROVIDER)} == {"provider:sandbox"}


def test_hours_that_wait_for_the_money_beside_them_go_back_when_it_does_not_come(
    world: World,
) -> None:
    draft = world.draft("mixed", [("price", 4_000, "EUR"), ("price", 300, "HOURS")])
    exchange = world.propose(draft)
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    announced = default(world, exchange)
    assert (announced.step, announced.to_payer) == ("expire_funding", 300)
    world.pass_time(seconds=(announced.due_at - world.now).total_seconds())
    assert of(world, Section.HOLD) == []
    assert world.of(world.payer, "HOURS") == 0


def test_what_the_bank_gave_back_already_is_not_paid_again_by_default(
    engine: Engine, platform_id: UUID
) -> None:
    world = ContestedWorld(engine, platform_id)
    exchange = world.sold(6_500)
    world.contest(exchange, 2_000)
    announced = default(world, exchange)
    assert (announced.to_payer, announced.with_bank) == (4_500, 2_000)
    (missing,) = of(world, Section.RECEIVABLE)
    assert missing.amount == -2_000
    assert missing.exchange is not None
    assert missing.exchange.id == exchange.id
    assert sum(line.amount for line in lines(world)) == 0


def test_the_document_and_the_table_tell_the_same_and_name_members_by_ids_alone(
    world: World,
) -> None:
    lived_in(world)
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text(
                "INSERT INTO service.member_person (platform_id, member_id, name, email) "
                "VALUES (:p, :m, 'Rozenn Secret', 'rozenn@example.org')"
            ),
            {"p": world.platform_id, "m": world.payer},
        )
    told, rows = document(world), table(world)
    assert told["platform"] == encode("platform", world.platform_id)
    accounts = [row for row in rows if not row["section"].startswith("total")]
    assert [(row["account"], int(row["amount"])) for row in accounts] == [
        (line["account"], line["amount"]) for line in told["lines"]
    ]
    assert "Rozenn" not in str(told) + str(rows)
    assert "rozenn@" not in str(told) + str(rows)
    hold = next(line for line in told["lines"] if line["section"] == "hold")
    assert hold["payer"] == {
        "id": encode("member", world.payer),
        "external_id": str(world.payer),
    }
    for total in told["totals"]:
        assert total["total"] == 0
        sections = Counter[str]()
        for line in told["lines"]:
            if line["unit"] == total["unit"]:
                sections[line["section"]] += line["amount"]
        assert Counter(total["sections"]) == sections
        assert total["default_to_payers"] == total["sections"]["hold"]
    assert sum(int(row["amount"]) for row in rows if row["section"] == "total_of_unit") == 0


def test_a_table_cannot_make_a_spreadsheet_run_what_a_platform_named(world: World) -> None:
    draft = world.draft("sale", [("price", 6_500, "EUR")])
    world.funded(world.propose(draft, external_id='=HYPERLINK("http://x","y")'))
    row = next(row for row in table(world) if row["section"] == "hold")
    assert tuple(row) == COLUMNS
    assert row["exchange_external_id"] == '\'=HYPERLINK("http://x","y")'
    assert row["amount"] == "6500"
    assert next(row for row in table(world) if row["section"] == "provider")["amount"] == "-6500"


def test_an_account_that_no_exchange_knows_is_listed_all_the_same(world: World) -> None:
    move = Transfer("provider:sandbox", "hold:nobody", 10, "EUR")
    with db.transaction(world.engine, world.platform_id) as connection:
        post(connection, world.platform_id, [Posting("stray", "test", (move,))], world.now)
    (line,) = of(world, Section.HOLD)
    assert (line.account, line.amount, line.exchange, line.default) == (
        "hold:nobody",
        10,
        None,
        None,
    )
    assert document(world)["lines"][0]["account"] == "hold:nobody"
    with db.transaction(world.engine, world.platform_id) as connection:
        reverse(connection, world.platform_id, "stray", "undone", world.now)


def test_more_lines_than_a_batch_come_each_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "BATCH", 3)
    draft = world.draft("help", [("price", 100, "HOURS")])
    for _ in range(8):
        world.step(world.propose(draft), "fund", PAYER)
    holds = of(world, Section.HOLD)
    assert len(holds) == len({line.account for line in holds}) == 8
    assert sum(line.amount for line in holds) == 800
    assert all(line.default is not None for line in holds)


def test_a_platform_without_money_has_an_empty_statement(world: World) -> None:
    assert document(world)["lines"] == []
    assert [row["section"] for row in table(world)] == []
