"""Everything that a platform is told while its members deal and dispute keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Engine, text

from service import db
from service.events import signing
from tests.events.contract import validator
from tests.http.client import Api
from tests.http.court import PRESSURED, WHY, desk_path, hear, make_bench
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk


def _messages(engine: Engine, platform_id: Any) -> list[dict[str, Any]]:
    """Return what an endpoint would be sent, in order."""
    query = text(
        "SELECT id, type, exchange_id, member_id, sequence, data, at FROM service.event "
        "WHERE platform_id = :platform_id ORDER BY id"
    )
    with db.transaction(engine, platform_id) as connection:
        rows = connection.execute(query, {"platform_id": platform_id}).mappings().all()
    return [orjson.loads(signing.payload(dict(row))) for row in rows]


def _dispute(deal: Deal, mediator: Api) -> None:
    """An offer, a claim that is decided, an appeal that nobody can hear, and its end."""
    case = hear(deal, PRESSURED)
    offer = case.offer(case.payee, split=case.split(1))
    case.made(case.payer, "reject-offer", {"offer": offer})
    body = {"sort": "text", "text": "Look at what he wrote."}
    case.payer.made(f"{case.path}/evidence", body)
    asked = {"side": "payee", "sort": "text"}
    mediator.made(f"{desk_path(case)}/evidence-requests", asked)
    mediator.made(f"{desk_path(case)}/propose", {"outcome": "to_payer", "text": "All back?"})
    answer = {"proposal": case.read()["proposal"]["id"]}
    case.made(case.payer, "accept-proposal", answer)
    case.made(case.payee, "reject-proposal", answer)
    said = {"outcome": "to_payer", "reason_code": "evidence", "reasons": WHY}
    mediator.made(f"{desk_path(case)}/decide", said)
    case.made(case.payee, "appeal", {"ground": "procedure", "text": "Nobody asked me."})
    case.later("P8D")
    assert case.read()["stage"] == "closed"


def _agree(deal: Deal) -> None:
    """A claim that ends in a return."""
    case = hear(deal)
    case.made(case.payer, "withdraw-claim")
    again = hear(deal)
    offer = again.offer(again.payee, "return_then_refund")
    again.made(again.payer, "accept-offer", {"offer": offer})
    again.made(again.payer, "mark-returned", {})
    again.made(again.payee, "confirm-returned")


def _complete(deal: Deal) -> None:
    path = f"/v1/exchanges/{deal.exchange['id']}"
    for member in (deal.payer, deal.payee):
        deal.api.made(f"{path}/confirm", {"member": member["id"], "checkpoint": "handover"})


def _others(api: Api) -> None:
    """A member who is away for a while, and one who is to be paid."""
    member = api.member()["id"]
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    api.made(f"/v1/members/{member}/pauses", {"until": until})
    opened = api.send("PUT", f"/v1/members/{member}/payout-account", {"country": "FR"})
    assert opened.is_success, opened.text
    api.made(f"/v1/sandbox/members/{member}/payout-account/act", {"outcome": "complete"})


def test_every_event_of_a_platform_is_as_the_contract_says(
    paid: Deal, api: Api, engine: Engine, operator: Api, new_desk: Callable[[], Desk]
) -> None:
    deals = [paid]
    for _ in range(2):
        deals.append(make_deal(api, engine, agreed=True))
        deals[-1].fund()
    mediator, _ = make_bench(paid, engine, operator, new_desk).join()
    left = make_deal(api, engine, agreed=False)
    api.made(f"/v1/exchanges/{left.exchange['id']}/decline", {"member": left.payer["id"]})
    _others(api)
    _agree(deals[1])
    _complete(deals[2])
    _dispute(deals[0], mediator)
    sent = _messages(engine, paid.platform_id)
    for one in sent:
        problems = [str(error) for error in validator(one["type"]).iter_errors(one)]
        assert not problems, (one, problems)
    seen = {one["type"] for one in sent}
    assert len({type_ for type_ in seen if type_.startswith("case.")}) >= 18, sorted(seen)
    assert len({type_ for type_ in seen if type_.startswith("exchange.")}) >= 8, sorted(seen)
    assert {"leg.released", "leg.returned", "member.paused", "payee.requirements_due"} <= seen
