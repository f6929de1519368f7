"""A proof that a member's phone kept: checked, it is the hand-over code itself."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from ledger.refusals import Refusal
from service.exchanges.advance import Done
from service.exchanges.decide import Rules
from service.exchanges.proofs import Proof, Prover, check
from service.web.member import taking
from service.web.member.scene import Scene


def take(
    connection: Connection,
    scene: Scene,
    rules: Rules,
    prover: Prover,
    form: Mapping[str, str],
) -> Done | Refusal:
    """Take the code that a form brings as a ``proof`` or as the digits of a ``code``.

    A proof that is none costs no try: nobody comes nearer to a signature by guessing.
    """
    if "proof" not in form:
        return taking.take(connection, scene, rules, "enter_code", form)
    try:
        proof = prover.read(form["proof"])
        check(proof, scene.exchange, rules.now)
    except Refusal as refusal:
        return refusal
    name = _checkpoint(scene, proof)
    digits = rules.codes.digits(scene.exchange.id, name, proof.generation)
    known = {"checkpoint": name, "code": digits}
    return taking.take(connection, scene, rules, "enter_code", known)


def stands(scene: Scene, prover: Prover, form: Mapping[str, str]) -> bool:
    """Tell whether what the form was to bring is so already: sent twice, it says the same again."""
    if "proof" not in form:
        return taking.stands(scene, "enter_code", form)
    try:
        proof = prover.read(form["proof"])
    except Refusal:
        return False
    # Whoever shows a proof takes nothing by it.
    if proof.exchange_id != scene.exchange.id or proof.shown_by is scene.role:
        return False
    if not _has(scene, proof):
        return False
    return taking.stands(scene, "enter_code", {"checkpoint": _checkpoint(scene, proof)})


def _has(scene: Scene, proof: Proof) -> bool:
    return any(point.position == proof.position for point in scene.exchange.checkpoints)


def _checkpoint(scene: Scene, proof: Proof) -> str:
    (found,) = (p.name for p in scene.exchange.checkpoints if p.position == proof.position)
    return found
