"""What the ledger has of an exchange, as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.demo.client import Client, Json, Party, Say


def total(client: Client, exchange: Json) -> str:
    """Write what an exchange of one leg is about."""
    (leg,) = exchange["legs"]
    return amount(client, leg["amount"], leg["unit"])


def amount(client: Client, amount: int, unit: str) -> str:
    """Write an amount of minor units as people do, to the unit's decimals."""
    exponent = client.get(f"/v1/units/{unit}")["exponent"]
    whole, part = divmod(amount, 10**exponent)
    return f"{whole}.{part:0{exponent}d} {unit}" if exponent else f"{whole} {unit}"


def show(client: Client, exchange: Json, parties: Sequence[Party], say: Say) -> None:
    """Print every movement of the exchange as the ledger has it."""
    names = {f"member:{one.id}": one.name for one in parties}
    names |= {f"hold:{leg['id']}": "held" for leg in exchange["legs"]}
    rows = [("what", "from", "to", "amount")]
    for posting in client.get(f"/v1/exchanges/{exchange['id']}/postings")["data"]:
        for moved in posting["transfers"]:
            rows.append(
                (
                    posting["kind"],
                    _account(moved["debit"], names),
                    _account(moved["credit"], names),
                    amount(client, moved["amount"], moved["unit"]),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rule = tuple("─" * width for width in widths)
    say("")
    for row in (rows[0], rule, *rows[1:]):
        left = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths[:3], strict=False))
        say(f"    {left}  {row[3]:>{widths[3]}}")


def _account(path: str, names: Mapping[str, str]) -> str:
    """Name an account for people."""
    kind = path.partition(":")[0]
    return names.get(path, "on its way" if kind == "transit" else path)
