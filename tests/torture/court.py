"""A dispute with neutrals, lived again and again on a platform whose clock jumps by days."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from threading import Event, Thread
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine

from service.cli import seed_neutrals
from service.cli.home import Home
from service.clock import now
from service.demo import dispute
from service.demo.client import Client as DemoClient
from service.demo.dispute import Neutral
from service.sealing import Sealer
from tests.chaos.client import Client, Refused
from tests.torture.world import World

_Json = dict[str, Any]


class Persistent(DemoClient):
    """Speaks as the demo's client does, and asks again until it is answered, as a good one does."""

    patience = 240.0  # whoever does it may be killed meanwhile, and killed again

    def __init__(self, client: Client, key: str) -> None:
        """Speak by ``client``, which has the platform's ``key``."""
        super().__init__("http://127.0.0.1", key)
        self._good: Final = client

    def get(self, path: str, *, token: str | None = None, **params: Any) -> _Json:
        """Read, whoever answers."""
        return self._good.ask("GET", path, {"params": params}, token)

    def post(self, path: str, body: Mapping[str, Any], *, token: str | None = None) -> _Json:
        """Do once, however often it has to be sent."""
        return self._good.ask("POST", path, {"json": dict(body)}, token)

    def upload(self, path: str, content: bytes, *, token: str, **params: Any) -> _Json:
        """Send a file, once however often it has to be sent."""
        request = {
            "params": params,
            "content": content,
            "headers": {"Content-Type": "application/octet-stream"},
        }
        return self._good.ask("POST", path, request, token)

    def sign_in(self, body: Mapping[str, Any]) -> str | None:
        """Sign a mediator in; None if what they say does not open it, or no longer does."""
        try:
            token: str = self._good.ask("POST", "/v1/mediation/sign-in", {"json": dict(body)})[
                "token"
            ]
        except Refused:
            return None  # a code that was taken, though its answer was lost: the next one will do
        return token


class Court:
    """Plays the dispute of the demo in a thread of its own until told to stop."""

    def __init__(
        self, world: World, engine: Engine, platform_id: UUID, key: str, seed: int
    ) -> None:
        """Draw neutrals for the platform, whose ``key`` the sides and the neutrals come with."""
        kept = seed_neutrals.neutrals(
            Home(world.folder), engine, Sealer(world.code_key), [platform_id], now()
        )
        self._neutrals: Final[Sequence[Neutral]] = [one for _id, one in kept]
        self._client = Client(world.doors, key, random.Random(f"{seed}-court"))
        self._play_by = Persistent(self._client, key)
        self._stop = Event()
        self.played = 0
        self.failures: list[str] = []
        self._thread = Thread(target=self._run, name="court", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Let the dispute that is going on come to its end."""
        self._stop.set()
        self._thread.join()
        self._client.close()
        self._play_by.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                dispute.play(self._play_by, self._neutrals, _silent)
                self.played += 1
        except Exception as error:  # whatever it is, a dispute did not come to its end
            self.failures.append(f"dispute {self.played + 1}: {error!r}")


def _silent(_line: str) -> None:
    pass
