"""A route: method, path, what it takes and who answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.stripe_server.errors import Obj
from tests.stripe_server.params import Spec
from tests.stripe_server.store import Account, World


@dataclass(frozen=True)
class Call:
    """One request after its parameters were checked: ``ids`` are the parts of its path."""

    account: Account
    path: str
    ids: dict[str, str]
    params: dict[str, Any]

    @property
    def world(self) -> World:
        """The whole server."""
        return self.account.world


@dataclass(frozen=True)
class Route:
    """What answers one method and path; ``spec`` names every parameter but ``expand``."""

    method: str
    path: str
    handler: Callable[[Call], Obj]
    spec: Spec

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The path as a pattern."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))
