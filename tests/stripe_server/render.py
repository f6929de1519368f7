"""How objects are shown: without what is ours alone, with what was asked to be expanded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from tests.stripe_server.errors import Obj, invalid
from tests.stripe_server.store import Account


def shown(account: Account, obj: Obj) -> Obj:
    """Return a copy fit for an answer or an event: names that begin with ``_`` stay here."""
    clean = {name: copy.deepcopy(value) for name, value in obj.items() if name[0] != "_"}
    hook = _INLINE.get(obj["object"])
    if hook is not None:
        hook(account, obj, clean)
    return clean


def page(url: str, data: list[Obj], has_more: bool = False, **more: Any) -> Obj:
    """Return a list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url, **more}


def _dispute(account: Account, obj: Obj, clean: Obj) -> None:
    table = account.table("balance_transaction")
    clean["balance_transactions"] = [shown(account, table[ref]) for ref in obj["_moved"]]


def _transfer(account: Account, obj: Obj, clean: Obj) -> None:
    url = f"/v1/transfers/{obj['id']}/reversals"
    table = account.table("transfer_reversal")
    own = [shown(account, table[ref]) for ref in reversed(obj["_reversals"])]
    clean["reversals"] = page(url, own[:10], len(own) > 10, total_count=len(own))


_INLINE: dict[str, Callable[[Account, Obj, Obj], None]] = {
    "dispute": _dispute,
    "transfer": _transfer,
}


def _refunds(account: Account, obj: Obj) -> Obj:
    table = account.table("refund").values()
    own = [shown(account, refund) for refund in table if refund["charge"] == obj["id"]]
    own.reverse()
    return page(f"/v1/charges/{obj['id']}/refunds", own[:10], len(own) > 10)


def _line_items(account: Account, obj: Obj) -> Obj:
    url = f"/v1/checkout/sessions/{obj['id']}/line_items"
    return page(
        url,
        [shown(account, item) for item in account.table("checkout.session")[obj["id"]]["_items"]],
    )


#: What an object only shows when it is asked for.
_INCLUDABLE: dict[tuple[str, str], Callable[[Account, Obj], Obj]] = {
    ("charge", "refunds"): _refunds,
    ("checkout.session", "line_items"): _line_items,
}


def expand(account: Account, obj: Obj, paths: Iterable[str]) -> Obj:
    """Replace ids by their objects along ``paths``.

    Raises:
        ApiError: a path is too deep, or names what is no reference.
    """
    for path in paths:
        names = path.split(".")
        if len(names) > 4 + (names[0] == "data"):
            raise invalid(
                f"You cannot expand more than 4 levels of a property ({path}).", None, "expand"
            )
        _walk(account, obj, names, path)
    return obj


def _walk(account: Account, node: Any, names: list[str], path: str) -> None:
    if not names or node is None:
        return
    if isinstance(node, list):
        for inner in node:
            _walk(account, inner, names, path)
        return
    name, rest = names[0], names[1:]
    refusal = invalid(f"This property cannot be expanded ({path}).", None, "expand")
    if not isinstance(node, dict):
        raise refusal
    include = _INCLUDABLE.get((node.get("object", ""), name))
    if name not in node and include is not None:
        node[name] = include(account, node)
    elif name not in node:
        if (node.get("object"), name) in _SOMETIMES:
            return
        raise refusal
    value = node[name]
    if isinstance(value, str):
        found = _lookup(account, value)
        if found is None:
            raise refusal
        node[name] = value = found
    elif not isinstance(value, (dict, list)) and value is not None:
        raise refusal
    _walk(account, value, rest, path)


#: References that an object carries only in some states.
_SOMETIMES = {("refund", "failure_balance_transaction")}


def _lookup(account: Account, ref: str) -> Obj | None:
    family = [account, *account.connected]
    if account.platform is not None:
        family.append(account.platform)
    for owner in family:
        found = owner.find(ref)
        if found is not None:
            return shown(owner, found)
    return None
