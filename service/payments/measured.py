"""Count and time what providers are asked, in one place for every adapter."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from service.operations import metrics
from service.payments.port import ProviderRefused, ProviderUnavailable

T = TypeVar("T")

#: What asks once and is answered. Lists are read page after page, as far as their reader wants.
_CALLS: Final = (
    "submit",
    "capture",
    "cancel",
    "retrieve",
    "open_account",
    "account_link",
    "retrieve_account",
    "retrieve_bank_payout",
    "retrieve_dispute",
    "retrieve_warning",
    "submit_evidence",
    "held",
)


def measured(adapter: type[T]) -> type[T]:
    """Let an adapter of the port count and time its calls, under its ``name``."""
    name: str = adapter.name  # type: ignore[attr-defined]
    for call in _CALLS:
        setattr(adapter, call, _counted(name, call, getattr(adapter, call)))
    return adapter


def _counted(provider: str, call: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    def whole(*args: Any, **more: Any) -> Any:
        outcome = "failed"
        try:
            with metrics.timed(metrics.provider_seconds, provider, call):
                answer = ask(*args, **more)
            outcome = "answered"
        except ProviderRefused:
            outcome = "refused"
            raise
        except ProviderUnavailable:
            outcome = "unavailable"
            raise
        finally:
            metrics.provider_calls.labels(provider, call, outcome).inc()
        return answer

    return wraps(ask)(whole)
