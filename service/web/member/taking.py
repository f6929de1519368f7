"""Steps that a member takes on their page: what is asked for, and how a refusal is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from ledger.refusals import Refusal
from service.exchanges.advance import Done, advance
from service.exchanges.codes import MOST_WRONG_TRIES
from service.exchanges.commands import Command
from service.exchanges.decide import Rules
from service.exchanges.model import State
from service.ids import decode
from service.platforms import clocks
from service.web.member.review import REVIEWED
from service.web.member.scene import Scene

#: The steps that a form of the page can take, beside paying.
STEPS: Final = frozenset({*REVIEWED, "agree", "enter_code", "renew_code"})


#: Where some steps bring the whole exchange.
_ENDS: Final = {
    "decline": {State.DECLINED},
    "cancel": {State.CANCELLED},
    "accept_proposal": {State.SETTLED, State.CANCELLED},
}
_WORDS: Final = frozenset({"confirm", "withdraw_confirmation"})


def take(
    connection: Connection, scene: Scene, rules: Rules, step: str, form: Mapping[str, str]
) -> Done | Refusal:
    """Take a step as the member, with the same checks as everywhere else.

    A wrong code is a fact to keep: it is told as a refusal, and its transaction commits.
    """
    exchange = scene.exchange
    clocks.hold(connection, exchange.platform_id)
    (outcome,) = advance(connection, exchange.platform_id, [_command(scene, step, form)], rules)
    if isinstance(outcome, Refusal):
        return outcome
    return outcome.refusal or outcome


def _command(scene: Scene, step: str, form: Mapping[str, str]) -> Command:
    version = form.get("version", "")
    return Command(
        scene.exchange.id,
        step,
        scene.who,
        expected_version=int(version) if version.isdecimal() and len(version) < 10 else None,
        # Without saying to what, nobody agrees.
        terms_hash=form.get("terms_hash", "") if step == "agree" else None,
        checkpoint=form.get("checkpoint"),
        code=form.get("code", ""),
        proposal_id=_proposal(form.get("proposal", "")),
    )


def _proposal(given: str) -> UUID | None:
    try:
        return decode("proposal", given)
    except ValueError:
        return None


def stands(scene: Scene, step: str, form: Mapping[str, str]) -> bool:
    """Tell whether what a step was to bring is so already: a second press says the same again."""
    exchange, role = scene.exchange, scene.role
    if step == "agree":
        agreed = exchange.agreed_by(role) is not None
        return agreed and form.get("terms_hash") == exchange.terms_hash
    if step == "propose_cancellation":
        open_ = exchange.proposal
        return open_ is not None and open_.kind == "cancellation" and open_.by is role
    if step in _ENDS:
        return exchange.state in _ENDS[step]
    point = next((p for p in exchange.checkpoints if p.name == form.get("checkpoint")), None)
    if point is None:
        return False
    if step == "enter_code":
        return point.met_at is not None
    return step in _WORDS and (point.confirmed_by(role) is not None) == (step == "confirm")


def error(scene: Scene, refusal: Refusal) -> str:
    """Return how to mend what was refused, in the member's words."""
    return scene.say(f"error.{error_name(scene, refusal)}", **_tries(refusal.facts))


def error_name(scene: Scene, refusal: Refusal) -> str:
    """Return what the words for a refusal are called."""
    name = refusal.code
    if name == "wrong_code" and refusal.facts.get("tries_left") == 0:
        name = "wrong_code_locked"
    return name if scene.say.has(f"error.{name}") else "refused"


def error_again(scene: Scene, name: str, version: str) -> str | None:
    """Return the words called ``name`` for a page that is asked for after a refusal.

    None for those that are none, and once anything has moved: what was wrong then is no news.
    """
    if not scene.say.has(f"error.{name}") or version != str(scene.exchange.version):
        return None
    point = scene.exchange.current
    if name == "wrong_code" and (point is None or point.code is None or point.code.locked_at):
        return None
    code = None if point is None else point.code
    left = None if code is None else MOST_WRONG_TRIES - code.wrong_tries
    return scene.say(f"error.{name}", **_tries({"tries_left": left}))


def _tries(facts: Mapping[str, object]) -> dict[str, object]:
    return {"tries_left": facts.get("tries_left")}
