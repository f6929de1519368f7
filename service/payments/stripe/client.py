"""One client of Stripe for each connection as it is now: its key, limits and connections."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final
from uuid import UUID
from weakref import finalize

import httpx
import stripe
import structlog

from service.payments.connected import Connected
from service.payments.port import ProviderUnavailable
from service.payments.stripe.errors import is_credential, retry_after, translate, was_replayed
from service.payments.stripe.limits import RATES, Budget, Circuit

_log = structlog.get_logger(__name__)

#: Seconds: to connect, to wait for an answer, to send, for a free connection. A bank's answer may
#: take several seconds; what takes longer is asked again under the same key.
TIMEOUT: Final = httpx.Timeout(connect=5.0, read=20.0, write=10.0, pool=2.0)
#: A call that got no answer, or 409 or 5xx, is sent again at once this often, under its key.
RETRIES: Final = 2
#: Seconds before the first of them, doubling, with jitter.
_PAUSE: Final = 0.1
#: Clients kept; the one that was not used for longest is let go.
MOST_CLIENTS: Final = 256
#: Objects on a page of a list, Stripe's largest.
PAGE: Final = 100


class _Http(stripe.HTTPClient):
    """Carries the requests of Stripe's own client, every single one within our limits."""

    name = "httpx"

    def __init__(self, budget: Budget, circuit: Circuit) -> None:
        super().__init__()
        self._budget = budget
        self._circuit = circuit
        self._http = httpx.Client(timeout=TIMEOUT)

    def request(  # type: ignore[override] # as every client of the library declares it
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: str | bytes | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request; note how it went."""
        self._circuit.check()
        self._budget.take()
        try:
            answer = self._http.request(method, url, headers=headers, content=post_data)
        except httpx.TransportError as error:
            self._circuit.failed()
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call] # the library's
                f"Stripe does not answer ({type(error).__name__})", should_retry=True
            ) from error
        if answer.status_code != 429 and answer.status_code < 500:
            self._circuit.succeeded()
        elif not was_replayed(answer.headers):  # what went wrong long ago is no trouble now
            self._circuit.failed(retry_after(answer.headers))
        return answer.content, answer.status_code, answer.headers

    def _should_retry(
        self,
        response: tuple[Any, int, Mapping[str, str] | None] | None,
        api_connection_error: stripe.APIConnectionError | None,
        num_retries: int,
        max_network_retries: int | None,
    ) -> bool:
        """Leave alone what Stripe would only say again."""
        if response is not None and was_replayed(response[2]):
            return False
        again = super()._should_retry(
            response, api_connection_error, num_retries, max_network_retries
        )
        return bool(again)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _sleep_time_seconds(self, num_retries: int) -> float:
        """A caller may be waiting: pauses are short, the sweep is there for the long ones."""
        return float(_PAUSE * 2 ** (num_retries - 1) * (0.5 + 0.5 * random.random()))  # noqa: S311


@dataclass(slots=True, weakref_slot=True)
class Account:
    """A platform's account at Stripe, and the client that speaks for it."""

    connected: Connected
    client: stripe.StripeClient
    http: _Http
    verified: bool = field(default=False)
    _alarmed: bool = field(default=False)

    @property
    def api(self) -> stripe.V1Services:
        """The services of API v1."""
        return self.client.v1

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turn Stripe's errors inside into the port's.

        Raises:
            ProviderUnavailable, ProviderRefused, KeyReused: see :func:`errors.translate`.
        """
        try:
            yield
        except stripe.StripeError as error:
            self._alarm(error)
            raise translate(error) from error

    def _alarm(self, error: stripe.StripeError) -> None:
        """Say once, and loudly, that Stripe does not take the key: nothing works until it does."""
        if is_credential(error) and not self._alarmed:
            self._alarmed = True
            _log.critical(
                "stripe_credential_refused",
                platform=str(self.connected.platform_id),
                version=self.connected.version,
                error=str(error),
            )

    def verify(self) -> None:
        """Make sure that the key opens the account that the platform's money is on.

        Raises:
            ProviderUnavailable: it opens another one; nothing may be asked with it.
        """
        if self.verified or self.connected.account_ref is None:
            return
        with self.asking():
            found = self.api.accounts.retrieve_current()
        if found.id != self.connected.account_ref:
            _log.critical(
                "stripe_account_differs",
                platform=str(self.connected.platform_id),
                wanted=self.connected.account_ref,
                found=found.id,
            )
            raise ProviderUnavailable(
                "the key opens another account than the platform's money is on"
            )
        self.verified = True

    def pages(
        self, list_: Callable[[Any], Any], params: Mapping[str, Any], most: int
    ) -> Iterator[Any]:
        """Yield what a list holds, newest first, from at most ``most`` pages."""
        after: dict[str, str] = {}
        for _ in range(most):
            with self.asking():
                page = list_({**params, "limit": PAGE, **after})
            yield from page.data
            if not page.has_more:
                return
            after = {"starting_after": page.data[-1].id}
        _log.warning("stripe_list_cut", platform=str(self.connected.platform_id), pages=most)


class Clients:
    """The clients of this process, by platform: made at the first use, kept while the key is."""

    def __init__(self, api_base: str, ticks: Callable[[], float] = time.monotonic) -> None:
        """``api_base``: Stripe's address, or that of a server on loopback that stands for it."""
        self._api_base = api_base
        self._ticks = ticks
        self._lock = Lock()
        self._kept: OrderedDict[UUID, Account] = OrderedDict()

    def of(self, connected: Connected) -> Account:
        """Return the client of a connection; a changed connection gets a new one."""
        with self._lock:
            kept = self._kept.get(connected.platform_id)
            if kept is None or kept.connected.version != connected.version:
                kept = self._make(connected)
                self._kept[connected.platform_id] = kept
            kept.connected = connected
            self._kept.move_to_end(connected.platform_id)
            if len(self._kept) > MOST_CLIENTS:
                self._kept.popitem(last=False)
            return kept

    def _make(self, connected: Connected) -> Account:
        http = _Http(Budget(RATES[connected.mode], self._ticks), Circuit(self._ticks))
        client = stripe.StripeClient(
            connected.secret_key.get_secret_value(),
            base_addresses={"api": self._api_base},
            max_network_retries=RETRIES,
            http_client=http,
        )
        made = Account(connected, client, http)
        # Another thread may still be calling through a client that was replaced here: its
        # connections are closed when the last one lets go of it.
        finalize(made, http.close)
        return made

    def close(self) -> None:
        """Let go of every client; one that is asked for again is made anew."""
        with self._lock:
            self._kept.clear()
