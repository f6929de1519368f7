"""The path of an exchange as a list: what is done, what is now, what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.exchanges.kinds import LegRole
from service.exchanges.model import State
from service.web.member.scene import Scene


@dataclass(frozen=True, slots=True)
class Stop:
    """A step of the path. ``mark`` is ``done``, ``now`` or ``next``."""

    label: str
    mark: str
    said: str


#: Ends that nothing comes after, other than the one that was agreed.
_OTHER_ENDS = frozenset(
    {State.SETTLED, State.REFUNDED, State.CANCELLED, State.DECLINED, State.EXPIRED}
)


def stops(scene: Scene) -> list[Stop]:
    """Return the path, in order."""
    exchange, say = scene.exchange, scene.say
    planned: list[tuple[str, datetime | None]] = [(say("path.agreed"), exchange.agreed_at)]
    if exchange.legs:
        planned.append((say(f"path.{_paid(scene)}"), exchange.funded_at))
    planned += [
        (_capital(scene.checkpoint(point.name)), point.met_at) for point in exchange.checkpoints
    ]
    ended = exchange.state in _OTHER_ENDS
    found = []
    waits = True
    for label, at in planned:
        if at is not None:
            found.append(Stop(label, "done", say("path.done_on", day=scene.day(at))))
        elif ended:
            break
        elif waits:
            waits = False
            if exchange.state is State.IN_REVIEW or exchange.case_id is not None:
                name = "review" if exchange.case_id is None else "problem"
                found.append(Stop(say(f"path.{name}"), "now", say("path.now")))
                found.append(Stop(label, "next", say("path.next")))
            else:
                found.append(Stop(label, "now", say("path.now")))
        else:
            found.append(Stop(label, "next", say("path.next")))
    return [*found, _end(scene)]


def _end(scene: Scene) -> Stop:
    exchange, say = scene.exchange, scene.say
    closed = exchange.closed_at
    if closed is not None:
        label = say(f"path.{exchange.state}")
        return Stop(label, "done", say("path.done_on", day=scene.day(closed)))
    name = (
        "end_gift" if not exchange.legs else "end_deposit" if _paid(scene) == "blocked" else "end"
    )
    return Stop(say(f"path.{name}_{scene.role}"), "next", say("path.next"))


def _paid(scene: Scene) -> str:
    """Tell what it is that is held: money, only a deposit, or only what is no money."""
    if not scene.money:
        return "aside"
    only = all(leg.role is LegRole.DEPOSIT for leg in scene.exchange.legs)
    return "blocked" if only else "protected"


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]
