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
    return words.fill(template, {**scene.say.variables, "checkpoint": named})
