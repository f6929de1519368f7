"""Scripts that break: the others go on, the part is a dead letter, and goes on where it stood."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from service.db import transaction
from service.ids import decode
from tests.sandbox.stage import Stage


def _acts(stage: Stage, script: dict[str, Any], acts: str | None) -> str:
    """Write what a script is to do; return what it was."""
    values = {"id": decode("script", script["id"]), "acts": acts}
    with transaction(stage.engine, stage.platform_id) as connection:
        query = text("SELECT acts::text FROM service.sandbox_script WHERE id = :id")
        before: str = connection.execute(query, values).scalar_one()
        if acts is not None:
            change = "UPDATE service.sandbox_script SET acts = CAST(:acts AS jsonb) WHERE id = :id"
            connection.execute(text(change), values)
    return before


def _letters(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.api.read("/v1/dead-letters?open=true")["data"]
    return found


def test_a_script_that_breaks_is_a_dead_letter_and_goes_on_once_it_is_mended(stage: Stage) -> None:
    broken, healthy = stage.propose(), stage.propose()
    script = stage.script(broken, "payer", "agrees")
    stage.script(healthy, "payer", "agrees")
    acts = _acts(stage, script, '[{"do": "nothing that is known"}]')
    stage.advance("PT2H")
    assert stage.exchange(healthy)["state"] == "agreed"
    assert stage.exchange(broken)["state"] == "proposed"
    (letter,) = _letters(stage)
    assert letter["work"] == "script"
    assert letter["subject"] == {"script": script["id"], "exchange": broken["id"]}
    stage.advance("PT2H")
    assert [one["id"] for one in _letters(stage)] == [letter["id"]]

    _acts(stage, script, acts)
    retried = stage.api.made(f"/v1/dead-letters/{letter['id']}/retry", {})
    assert retried["resolution"] == "retried"
    stage.advance("PT2H")
    assert stage.exchange(broken)["state"] == "agreed"
    assert _letters(stage) == []


def test_a_script_that_was_stopped_meanwhile_has_nothing_left_to_do(stage: Stage) -> None:
    exchange = stage.propose()
    script = stage.script(exchange, "payer", "agrees")
    _acts(stage, script, '[{"do": "nothing that is known"}]')
    stage.advance("PT2H")
    (letter,) = _letters(stage)
    assert stage.api.send("DELETE", f"/v1/sandbox/scripts/{script['id']}").is_success
    retried = stage.api.made(f"/v1/dead-letters/{letter['id']}/retry", {})
    assert retried["resolution"] == "gone"
