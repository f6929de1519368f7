"""What the work between us and the providers is done with, built once in each process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from service.exchanges.codes import CodeBook
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Desk:
    """The database, the providers and the instance's code book."""

    engine: Engine
    providers: Providers
    codes: CodeBook


def make_desk(engine: Engine, code_key: str, clock: Callable[[], datetime]) -> Desk:
    """Return the desk of a process: every provider that this version knows, built once."""
    sandbox = Sandbox(engine, f"sandbox:{code_key}", clock)
    return Desk(engine, Providers(sandbox), CodeBook(code_key))
