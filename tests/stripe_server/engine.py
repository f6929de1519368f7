"""From a request to its answer: who asks, key, parameters, work, what is shown."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.stripe_server import (
    charges,
    checkout,
    connected,
    disputes,
    events,
    files,
    intents,
    methods,
    money,
    payouts,
    refunds,
    transfers,
    warnings,
    webhooks,
)
from tests.stripe_server.errors import ApiError, Obj
from tests.stripe_server.faults import Fault, Faults
from tests.stripe_server.idempotency import Keys
from tests.stripe_server.params import listing, read, text
from tests.stripe_server.render import expand, shown
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import API_VERSION, Account, Asked, World

ROUTES: list[Route] = [
    route
    for module in (
        intents,
        charges,
        refunds,
        transfers,
        connected,
        payouts,
        money,
        methods,
        checkout,
        disputes,
        warnings,
        files,
        events,
        webhooks,
    )
    for route in module.ROUTES
]


class Logged(NamedTuple):
    """One request as it came in; ``account`` is the one it acts for."""

    method: str
    path: str
    params: dict[str, Any]
    idempotency_key: str | None
    account: str | None


@dataclass
class Answer:
    """What is sent back; None as status means: close the connection without a word."""

    status: int | None
    body: bytes
    headers: dict[str, str]


class Engine:
    """Executes one request at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = Keys()
        self.faults = Faults()
        self.requests: list[Logged] = []
        #: What broke inside the server itself: always none.
        self.errors: list[str] = []

    def answer(
        self, method: str, path: str, params: dict[str, Any], headers: Mapping[str, str]
    ) -> Answer:
        """Answer one request; ``headers`` by small names."""
        with self.world.lock:
            request_id = self.world.new_id("req")
            key = headers.get("idempotency-key") if method == "POST" else None
            try:
                account = self._who(headers)
            except ApiError as error:
                self.requests.append(Logged(method, path, params, key, None))
                return self._error(error, request_id)
            self.requests.append(Logged(method, path, params, key, account.id))
            fault = self.faults.take(method, path)
        answer = self._with_fault(fault, account, method, path, params, Asked(request_id, key))
        answer.headers |= {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        if key is not None:
            answer.headers["Idempotency-Key"] = key
        return answer

    def _with_fault(
        self,
        fault: Fault | None,
        account: Account,
        method: str,
        path: str,
        params: dict[str, Any],
        asked: Asked,
    ) -> Answer:
        kind = fault.kind if fault else None
        if kind == "before":
            return Answer(None, b"", {})
        if kind == "429":
            error = ApiError(
                429,
                "rate_limit",
                "Request rate limit exceeded.",
                code="rate_limit",
                headers={"Retry-After": "1", "Stripe-Rate-Limited-Reason": "global-rate"},
            )
            return self._error(error, asked.request_id)
        hang = fault if fault and kind == "timeout" else None
        answer = self._once(account, method, path, params, asked, kind, hang)
        if kind == "after":
            return Answer(None, b"", {})
        if fault and kind == "timeout_after":
            fault.hang(self.faults.limit)
        return answer

    def _who(self, headers: Mapping[str, str]) -> Account:
        """Return the account that the request acts for.

        Raises:
            ApiError: 401 without a good key, 403 for a foreign account.
        """
        given = headers.get("authorization", "")
        secret = given.removeprefix("Bearer ")
        if given.startswith("Basic "):
            secret = base64.b64decode(given[6:]).decode().partition(":")[0]
        if not secret:
            message = "You did not provide an API key."
            raise ApiError(401, "invalid_request_error", message)
        owner = self.world.keys.get(secret)
        if owner is None:
            hidden = f"{secret[:8]}****{secret[-4:]}"
            raise ApiError(401, "invalid_request_error", f"Invalid API Key provided: {hidden}")
        wanted = headers.get("stripe-account")
        if wanted is None or wanted == owner.id:
            return owner
        acting = self.world.accounts.get(wanted)
        if acting is None or acting.platform is not owner:
            raise ApiError(
                403,
                "invalid_request_error",
                f"The provided key does not have access to account '{wanted}' (or that account "
                "does not exist). Application access may have been revoked.",
                code="account_invalid",
            )
        return acting

    def _once(
        self,
        account: Account,
        method: str,
        path: str,
        params: dict[str, Any],
        asked: Asked,
        kind: str | None,
        hang: Fault | None,
    ) -> Answer:
        """Execute, or say again what was answered to the same key."""
        key = asked.key
        with self.world.lock:
            if key is not None:
                try:
                    kept = self.keys.claim(account.id, key, path, params, self.world.ts)
                except ApiError as error:
                    return self._error(error, asked.request_id)
                if kept is not None and kept.status is not None:
                    return Answer(kept.status, kept.body, {"Idempotent-Replayed": "true"})
        if hang is not None:
            hang.hang(self.faults.limit)
        with self.world.lock:
            answer, begun = self._execute(account, method, path, params, asked, kind)
            if key is not None and begun and answer.status is not None:
                self.keys.keep(account.id, key, answer.status, answer.body)
            elif key is not None:
                self.keys.drop(account.id, key)
        return answer

    def _execute(
        self,
        account: Account,
        method: str,
        path: str,
        params: dict[str, Any],
        asked: Asked,
        kind: str | None,
    ) -> tuple[Answer, bool]:
        """Do the work; also tell whether it had begun."""
        broken = ApiError(500, "api_error", "An unknown error occurred.", executed=True)
        if kind == "500":
            return self._error(broken, asked.request_id), True
        try:
            with self.world.asking(asked):
                body = self._work(account, method, path, params)
        except ApiError as error:
            return self._error(error, asked.request_id), error.executed
        except Exception:
            self.errors.append(f"{method} {path} {params}\n{traceback.format_exc()}")
            return self._error(broken, asked.request_id), True
        if kind == "500_after":
            return self._error(broken, asked.request_id), True
        return Answer(200, _json(body), {}), True

    def _work(self, account: Account, method: str, path: str, params: dict[str, Any]) -> Obj:
        for route in ROUTES:
            found = route.pattern.fullmatch(path) if route.method == method else None
            if found is None:
                continue
            spec = {**route.spec, "expand": listing(text)}
            checked = read(spec, params)
            paths = checked.pop("expand", [])
            result = route.handler(Call(account, path, found.groupdict(), checked))
            return expand(account, shown(account, result), paths)
        message = f"Unrecognized request URL ({method}: {path})."
        raise ApiError(404, "invalid_request_error", message)

    def _error(self, error: ApiError, request_id: str) -> Answer:
        url = f"https://dashboard.stripe.com/test/logs/{request_id}"
        body = {"error": {**error.error, "request_log_url": url}}
        headers = {**error.headers, "Request-Id": request_id}
        return Answer(error.status, _json(body), headers)


def _json(body: Obj) -> bytes:
    return json.dumps(body, indent=2).encode()
