"""What the work between us and the providers is done with, built once in each process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from service.config import STRIPE_API_BASE
from service.exchanges.codes import CodeBook
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from service.payments.stripe.provider import Stripe


@dataclass(frozen=True, slots=True)
class Desk:
    """The database, the providers and the instance's code book."""

    engine: Engine
    providers: Providers
    codes: CodeBook


def make_desk(
    engine: Engine,
    code_key: str,
    clock: Callable[[], datetime],
    stripe_api_base: str = STRIPE_API_BASE,
) -> Desk:
    """Return the desk of a process: every provider that this version knows, built once."""
    sandbox = Sandbox(engine, f"sandbox:{code_key}", clock)
    stripe = Stripe(engine, code_key, clock, stripe_api_base)
    return Desk(engine, Providers(sandbox, stripe), CodeBook(code_key))
