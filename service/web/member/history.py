"""What has happened so far, in the words of the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.messages import words
from service.web.member.scene import Scene
from service.web.words import catalogue


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened, when, in words."""

    at: str
    said: str


#: Events that are told only to the side they are about: the other has nothing to do with them.
_PRIVATE: Final = frozenset({"exchange.funding", "exchange.funding_failed"})


def history(scene: Scene) -> list[Happened]:
    """Return what members need to know of, newest first. Types without words are not told."""
    known = catalogue(scene.locale, "history")
    found = []
    for event in scene.events:
        said = _said(scene, known, event["type"], event["data"])
        if said is not None:
            found.append(Happened(scene.instant(event["at"]), said))
    return found[::-1]


def _said(
    scene: Scene, known: Mapping[str, Any], type_: str, data: Mapping[str, Any]
) -> str | None:
    if type_ == "member.assisted":
        # What is an event of its own is told as that; looking at a code is nothing else.
        if data["step"] != "show_code" or data["by"] != scene.role:
            return None
        return words.fill(known["through"]["show_code"], {"helper": scene.helper_name(data)})
    family, _dot, name = type_.partition(".")
    of_type = known.get(family, {}).get(name)
    if of_type is None or (type_ in _PRIVATE and scene.role != "payer"):
        return None
    by = data.get("by")
    form = "any" if by is None else "me" if by == scene.role else "other"
    template: str | None = of_type.get(form, of_type.get("any"))
    if template is None:
        return None
    point = data.get("checkpoint")
    named = None if point is None else scene.checkpoint(str(point))
    said = words.fill(template, {**scene.say.variables, "checkpoint": named})
    hand = _hand(scene, known["through"], type_, data)
    return said if hand is None else f"{said} {hand}"


#: Types whose step one side took, though their data does not name it.
_OF_ONE_SIDE: Final = frozenset({"exchange.funding"})


def _hand(
    scene: Scene, known: Mapping[str, Any], type_: str, data: Mapping[str, Any]
) -> str | None:
    """Return whose hand took the step, where it was not the member's own.

    The member reads the helper's name; the other side that it was somebody who helps them.
    """
    by = data.get("by", data.get("assisted") if type_ in _OF_ONE_SIDE else None)
    if by is None or data.get("assisted", by) != by or not ({"helper", "operator"} & data.keys()):
        return None
    whose = "mine" if by == scene.role else "theirs"
    told = {"helper": scene.helper_name(data), "operator": words.clean(data.get("operator", ""))}
    name = f"{'helper' if 'helper' in data else 'desk'}_{whose}"
    return words.fill(known[name], {**scene.say.variables, **told})
