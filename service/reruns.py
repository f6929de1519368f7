"""The rooms whose work can be taken up again, loaded: each says how on being loaded.

Whoever retries dead letters imports this, so that no kind of work is unknown to it.
"""

from __future__ import annotations

from typing import Final

from service.events import replays
from service.exchanges import case_clocks, contested_looks, looks, poison
from service.messages import make
from service.operations.dead_letters import retry
from service.sandbox import scripts

__all__ = ["ROOMS", "retry"]

ROOMS: Final = (poison, case_clocks, looks, contested_looks, replays, make, scripts)
