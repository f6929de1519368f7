"""The demo platform of an instance: made once, found again at every later start."""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx

from service.cli.home import CommandError, Home

_FILE = "demo.json"


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo platform's sandbox and a key to it."""

    platform: str
    api_key: str


def demo(home: Home, base_url: str, operator_key: str) -> Demo:
    """Return the demo platform's key, kept 0600 in the home; create what is not there.

    Raises:
        CommandError: the API refused.
    """
    with httpx.Client(base_url=base_url, timeout=30.0, trust_env=False) as client:
        kept = home.read(_FILE)
        if kept is not None:
            known = Demo(**json.loads(kept))
            if _works(client, known):
                return known
        made = _create(client, operator_key)
        home.keep(_FILE, json.dumps({"platform": made.platform, "api_key": made.api_key}))
        return made


def _works(client: httpx.Client, known: Demo) -> bool:
    answer = client.get("/v1/platform", headers={"Authorization": f"Bearer {known.api_key}"})
    return answer.status_code == 200


def _create(client: httpx.Client, operator_key: str) -> Demo:
    answer = client.post(
        "/v1/platforms",
        json={"name": "Demo"},
        headers={"Authorization": f"Bearer {operator_key}", "Idempotency-Key": "demo-platform"},
    )
    if answer.is_error:
        raise CommandError(f"The demo platform was refused: {answer.status_code} {answer.text}")
    found = answer.json()["sandbox"]
    return Demo(found["id"], found["api_key"])
