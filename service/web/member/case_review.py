"""The page before a step of a problem: what it means and what it moves, and a way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from disputes import journal
from disputes.model import Case
from disputes.outcomes import Side
from service.ids import encode, spoken
from service.web.member import problem
from service.web.member.problem import View
from service.web.member.review import Review
from service.web.member.scene import Scene
from service.web.member.todo import Button

#: What the journal says of each step that was taken.
_ENTRIES: Final[Mapping[str, str]] = {
    "withdraw_offer": "offer_withdrawn",
    "reject_offer": "offer_rejected",
    "accept_offer": "offer_accepted",
    "withdraw_claim": "claim_withdrawn",
    "call_mediator": "mediator_called",
    "accept_proposal": "proposal_accepted",
    "reject_proposal": "proposal_rejected",
    "confirm_returned": "return_confirmed",
    "confirm_repaired": "repair_confirmed",
    "challenge": "challenged",
    "appeal": "appealed",
}
assert set(_ENTRIES) >= problem.PLAIN


def review(scene: Scene, found: View, step: str) -> Review:
    """Return the review of a step that the member can take now."""
    say = scene.say
    kind = _about(step)
    open_ = None if kind is None else found.shown[kind]
    lines = [say(f"case_review.{step}")]
    return Review(
        title=scene.title,
        number=spoken(scene.exchange.id),
        heading=say(f"case_review_title.{step}"),
        lines=lines,
        effects_intro=say("case.means"),
        effects=[] if open_ is None else problem.how(scene, open_) or [],
        button=Button(
            scene.link(f"/case/steps/{step}"),
            say(f"case_review_button.{step}"),
            {} if open_ is None else {"about": open_["id"]},
        ),
        back=Button(scene.link("/case"), say("case.back_here"), link=True, main=False),
    )


def _about(step: str) -> str | None:
    kind = step.rpartition("_")[2]
    return kind if kind in {"offer", "proposal"} else None


def stands(
    connection: Connection, scene: Scene, case: Case, step: str, form: Mapping[str, str]
) -> bool:
    """Tell whether the member has taken this step already: a second press says the same again.

    What has come meanwhile in the place of what the form was about was not answered with it.
    """
    kind, about = _about(step), form.get("about", "")
    open_ = {"offer": case.offer, "proposal": case.proposal, None: None}[kind]
    if kind is not None and open_ is not None and encode(kind, open_.id) != about:
        return False
    wanted, me = _ENTRIES.get(step), str(Side(scene.role))
    return wanted is not None and any(
        (line.type, line.actor) == (wanted, me)
        for line in journal.read(connection, case.platform_id, case.id)
    )
