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


def _waits(stage: Stage, script: dict[str, Any]) -> dict[str, Any]:
    (part,) = stage.api.read(f"/v1/sandbox/scripts/{script['id']}")["parts"]
    found: dict[str, Any] = part["waits"]
    return found


def test_a_script_that_cannot_act_says_what_stands_in_its_way(stage: Stage) -> None:
    exchange = stage.propose()
    script = stage.script(exchange, "payee", "agrees")
    stage.advance("PT2H")
    waits = _waits(stage, script)
    assert waits["code"] == "not_your_step"
    asking = stage.script(exchange, "payee", "disputes")
    stage.advance("PT2H")
    assert _waits(stage, asking)["code"] == "nothing_to_dispute"
    too_early = stage.script(exchange, "payer", "confirms_after")
    stage.advance("PT2H")
    assert _waits(stage, too_early) == {
        "code": "step_not_allowed",
        "detail": "'confirm' is not possible while the exchange is proposed.",
    }
    stage.script(exchange, "payer", "declines")
    stage.advance("PT2H")
    assert "while the exchange is declined" in _waits(stage, too_early)["detail"]


def test_a_script_that_only_waits_for_its_time_or_is_done_waits_for_nothing(stage: Stage) -> None:
    exchange = stage.propose()
    script = stage.script(exchange, "payer", "agrees", "P1D")
    stage.advance("PT1H")
    assert _waits(stage, script) is None
    stage.advance("P1D")
    assert stage.exchange(exchange)["state"] == "agreed"
    assert _waits(stage, script) is None
