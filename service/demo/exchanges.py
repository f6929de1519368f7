"""The main job, played over HTTP as a platform and two of its members would live it.

A bicycle is sold for 65.00 EUR: both agree, the buyer's payment is held, the buyer tells the code
in person, the seller enters it, and the held payment is released and paid out. Then two hours of
help are held and released the same way, with no payment provider at all.
"""

from __future__ import annotations

from service.demo.client import Client, Party, Say, expected, join, paid_out, until
from service.demo.telling import show, total


def play(client: Client, say: Say) -> None:
    """Play both exchanges, telling each step.

    Raises:
        PlayFailed: a step did not hold.
    """
    say("\nThe main job, over HTTP")
    anne, yann = join(client, "Anne"), join(client, "Yann")
    say("  Anne and Yann are members; each acts with a token of their own.")
    _sell(client, anne, yann, say)
    _help(client, anne, yann, say)


def _sell(client: Client, buyer: Party, seller: Party, say: Say) -> None:
    """A sale for money: held, released by the code told in person, paid out."""
    terms = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": buyer.id,
        "payee": seller.id,
        "legs": [{"amount": {"amount": 6500, "unit": "EUR"}}],
        "fee": {"fixed": 50, "basis_points": 150, "borne_by": "shared"},
    }
    exchange = expected(client.post("/v1/exchanges", terms), "proposed")
    path = f"/v1/exchanges/{exchange['id']}"
    say(f"  {seller.name} proposes a bicycle for {total(client, exchange)}: {exchange['id']}")
    exchange = client.post(
        f"{path}/agree", {"terms_hash": exchange["terms_hash"]}, token=buyer.token
    )
    expected(exchange, "agreed")
    say(f"  {buyer.name} agrees to exactly these terms.")
    client.post(f"{path}/fund", {"payment_method": "pm_sandbox_ok"}, token=buyer.token)
    exchange = until(client, path, lambda one: one["state"] == "active")
    say(f"  {buyer.name} pays; the payment is held. It belongs to nobody yet.")
    code = client.get(f"{path}/hand-over-code", token=buyer.token)["code"]
    say(f"  {buyer.name} tells the code {code[:3]} {code[3:]} in person, bicycle in hand.")
    entered = {"checkpoint": "handover", "code": code}
    exchange = client.post(f"{path}/enter-code", entered, token=seller.token)
    expected(exchange, "completed")
    say(f"  {seller.name} enters it: both have confirmed, the payment is released.")
    until(client, f"{path}/payments", paid_out)
    say(f"  The payout to {seller.name} has arrived.")
    show(client, exchange, (buyer, seller), say)


def _help(client: Client, helped: Party, helper: Party, say: Say) -> None:
    """Hours for help: no money and no provider, the same hold and confirmations."""
    terms = {
        "kind": "help",
        "title": "Help with a move",
        "payer": helped.id,
        "payee": helper.id,
        "both_agreed": True,
        "legs": [{"amount": {"amount": 200, "unit": "HOURS"}}],
    }
    exchange = expected(client.post("/v1/exchanges", terms), "agreed")
    path = f"/v1/exchanges/{exchange['id']}"
    say(f"\n  {helper.name} helps for {total(client, exchange)}: {exchange['id']}")
    expected(client.post(f"{path}/fund", {}, token=helped.token), "active")
    say(f"  The hours of {helped.name} are held at once: no provider is involved.")
    for one in (helper, helped):
        exchange = client.post(f"{path}/confirm", {"checkpoint": "done"}, token=one.token)
    expected(exchange, "completed")
    say(f"  {helper.name} and {helped.name} both confirm; the hours are released.")
    show(client, exchange, (helped, helper), say)
