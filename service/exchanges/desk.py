"""What the work between us and the providers is done with, built once in each process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Engine

from service.config import STRIPE_API_BASE
from service.exchanges.codes import CodeBook
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from service.payments.stripe.provider import Stripe

T = TypeVar("T")


#: How many things are asked of providers at the same time.
AT_ONCE: Final = 4


def at_once(ask: Callable[[T], int], things: Sequence[T], *, apart: bool = True) -> list[int]:
    """Ask for each of ``things``, a few at a time: a slow answer does not hold the others up.

    Not ``apart``, one after the other: so that a platform alone sees the same order every time.
    """
    if len(things) < 2 or not apart:
        return [ask(one) for one in things]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Each with what is bound here, so that its lines in the log say what they are about.
        asked = [pool.submit(copy_context().run, ask, one) for one in things]
        return [one.result() for one in asked]


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
