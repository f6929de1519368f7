"""What the work between us and the providers is done with, built once in each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
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
A = TypeVar("A")


#: How many things are asked of providers at the same time.
AT_ONCE: Final = 4


def in_waves(
    ask: Callable[[T], A], things: Sequence[T], *, apart: bool = True
) -> Iterator[list[tuple[T, A]]]:
    """Ask for each of ``things``, a few at a time; yield what was answered since the last yield.

    So whoever takes the answers takes as many together as there are, and a slow one does not hold
    the others up. Not ``apart``, all are asked one after the other: so that a platform alone sees
    the same order every time.
    """
    if len(things) < 2 or not apart:
        if things:
            yield [(one, ask(one)) for one in things]
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Each with what is bound here, so that its lines in the log say what they are about.
        waiting = {pool.submit(copy_context().run, ask, one): one for one in things}
        while waiting:
            done = wait(waiting, return_when=FIRST_COMPLETED).done
            yield [(one, asked.result()) for asked, one in list(waiting.items()) if asked in done]
            for asked in done:
                del waiting[asked]


def at_once(ask: Callable[[T], A], things: Sequence[T], *, apart: bool = True) -> list[A]:
    """Ask for each of ``things`` as :func:`in_waves` does; return the answers, in order."""
    place = {id(one): number for number, one in enumerate(things)}
    answers = [pair for wave in in_waves(ask, things, apart=apart) for pair in wave]
    return [answer for _, answer in sorted(answers, key=lambda pair: place[id(pair[0])])]


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
