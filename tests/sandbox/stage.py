"""A sandbox on which two members rehearse what becomes of an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from tests.http.client import Api


@dataclass(frozen=True)
class Stage:
    """A sandbox, by the key of its platform."""

    api: Api
    platform_id: UUID
    engine: Engine

    def propose(self, kind: str = "sale", **more: Any) -> dict[str, Any]:
        """Propose an exchange of 65 EUR between two new members; the payee proposes."""
        body: dict[str, Any] = {
            "kind": kind,
            "title": "A bicycle",
            "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
            "payer": self.api.member()["id"],
            "payee": self.api.member()["id"],
            "proposed_by": "payee",
            **more,
        }
        return self.api.made("/v1/exchanges", body)

    def script(
        self, exchange: dict[str, Any], side: str, script: Any, after: str = "PT1H"
    ) -> dict[str, Any]:
        """Let a side of an exchange act by itself."""
        body = {"exchange": exchange["id"], "side": side, "script": script}
        if isinstance(script, str):
            body["after"] = after
        return self.api.made("/v1/sandbox/scripts", body)

    def advance(self, by: str) -> dict[str, Any]:
        """Move the clock until it has come as far as it should; return the last answer.

        ``fired`` in it is everything that happened, whatever the number of calls.
        """
        answer = self.api.made("/v1/sandbox/clock/advance", {"by": by})
        fired = list(answer["fired"])
        assert not answer["has_more"]
        while answer["stopped_at"] is not None:
            answer = self.api.made("/v1/sandbox/clock/advance", {"to": answer["target"]})
            assert not answer["has_more"]
            fired += answer["fired"]
        return {**answer, "fired": fired}

    def exchange(self, exchange: dict[str, Any]) -> dict[str, Any]:
        """Read an exchange as it is now."""
        return self.api.read(f"/v1/exchanges/{exchange['id']}")

    def read_script(self, script: dict[str, Any]) -> dict[str, Any]:
        """Read a script as it is now."""
        return self.api.read(f"/v1/sandbox/scripts/{script['id']}")

    def now(self) -> datetime:
        """Return what time it is on the sandbox."""
        return datetime.fromisoformat(self.api.read("/v1/sandbox/clock")["now"])


def types(fired: list[dict[str, Any]]) -> list[str]:
    """Return the types of what fired, in order."""
    return [event["type"] for event in fired]
