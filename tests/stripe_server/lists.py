"""Lists: newest first, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.stripe_server.errors import Obj, invalid, missing
from tests.stripe_server.render import page, shown
from tests.stripe_server.routes import Call


def listed(
    call: Call,
    kind: str,
    wanted: Callable[[Obj], bool] = lambda _obj: True,
    equal: tuple[str, ...] = (),
) -> Obj:
    """Answer a page of the account's objects of one kind.

    ``equal``: parameters that must equal the object's attribute of the same name.
    """
    params = call.params
    limit = params.get("limit", 10)
    if limit > 100:
        message = "This value must be less than or equal to 100."
        raise invalid(message, "parameter_invalid_integer", "limit")
    rows = [
        obj
        for obj in reversed(call.account.table(kind).values())
        if _within(obj, params.get("created"))
        and all(obj.get(name) == params[name] for name in equal if name in params)
        and wanted(obj)
    ]
    chosen, more = _cut(call, kind, rows, params, limit)
    return page(call.path, [shown(call.account, obj) for obj in chosen], more)


def _within(obj: Obj, bounds: dict[str, int] | None) -> bool:
    tests: dict[str, Callable[[int, int], bool]] = {
        "gt": lambda at, bound: at > bound,
        "gte": lambda at, bound: at >= bound,
        "lt": lambda at, bound: at < bound,
        "lte": lambda at, bound: at <= bound,
    }
    return all(tests[name](obj["created"], bound) for name, bound in (bounds or {}).items())


def _cut(
    call: Call, kind: str, rows: list[Obj], params: dict[str, Any], limit: int
) -> tuple[list[Obj], bool]:
    refs = list(reversed(call.account.table(kind)))
    place = {ref: number for number, ref in enumerate(refs)}

    def at(name: str) -> int:
        ref = params[name]
        if ref not in place:
            raise missing(kind, ref, name, status=400)
        return place[ref]

    if "starting_after" in params:
        edge = at("starting_after")
        rows = [obj for obj in rows if place[obj["id"]] > edge]
    if "ending_before" in params:
        edge = at("ending_before")
        rows = [obj for obj in rows if place[obj["id"]] < edge]
        return rows[-limit:], len(rows) > limit
    return rows[:limit], len(rows) > limit


def one(kind: str) -> Callable[[Call], Obj]:
    """Return a handler that answers one object of a kind by the ``id`` of its path."""
    return lambda call: call.account.get(kind, call.ids["id"])
