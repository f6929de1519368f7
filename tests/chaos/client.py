"""A good client: one idempotency key for each thing it wants, asked again until it is answered."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

#: How long one thing may stay unanswered; a process is away for four seconds or so.
_PATIENCE_SECONDS: Final = 90.0
_LATER: Final = frozenset({429, 500, 502, 503, 504})
#: What was asked before, and not answered, is still being done.
_UNDER_WAY: Final = frozenset({"idempotency_key_in_use", "clock_is_moving"})
_Json = dict[str, Any]


class Refused(AssertionError):
    """What a good client may do was refused."""


class Client:
    """Calls whichever of the APIs answers. One thread uses it."""

    def __init__(self, urls: Sequence[str], key: str, chance: random.Random) -> None:
        """Speak with ``key`` to the APIs at ``urls``, beginning with the first."""
        self._urls = list(urls)
        self._chance = chance
        self._http = httpx.Client(timeout=10.0, trust_env=False)
        self._key = key
        #: How often it was told nothing, or to come again, by reason.
        self.troubles: Counter[str] = Counter()
        self.answers = 0

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def get(self, path: str, *, token: str | None = None) -> _Json:
        """Read ``path``, with the platform's key or as the member whose ``token`` it is."""
        return self.ask("GET", path, {}, token)

    def post(self, path: str, body: _Json) -> _Json:
        """Do ``path``, once however often it has to be sent."""
        return self.ask("POST", path, {"json": body})

    def until(self, path: str, holds: Callable[[_Json], bool]) -> _Json:
        """Read ``path`` until it says what is hoped for."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not holds(found := self.get(path)):
            if time.monotonic() > deadline:
                raise Refused(f"{path} stays {found}")
            time.sleep(0.2)
        return found

    def ask(self, method: str, path: str, request: _Json, token: str | None = None) -> _Json:
        """Send ``request``, as httpx has it, until it is answered; what does something has a key.

        Raises:
            Refused: it was answered with a no, or not at all.
        """
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {token or self._key}"}
        if method == "POST":
            headers["Idempotency-Key"] = f"{self._chance.getrandbits(128):032x}"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._http.request(
                    method, self._urls[0] + path, headers=headers, **request
                )
            except httpx.TransportError as error:
                self._try_elsewhere(type(error).__name__)
                continue
            if answer.status_code in _LATER:
                self._try_elsewhere(str(answer.status_code))
                continue
            found: _Json = answer.json()
            if answer.is_success:
                self.answers += 1
                return found
            if found["code"] not in _UNDER_WAY:
                raise Refused(f"{method} {path}: {answer.status_code} {answer.text}")
            self._try_elsewhere(found["code"])
        raise Refused(f"{method} {path}: nobody answers; {dict(self.troubles)}")

    def _try_elsewhere(self, why: str) -> None:
        self.troubles[why] += 1
        self._urls.append(self._urls.pop(0))
        time.sleep(self._chance.uniform(0.05, 0.3))
