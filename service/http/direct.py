"""Posts to the API, without the framework's general way through a request.

A post asks for little and for always the same: a JSON body, ids in its address, a key in a header,
and who asks. The framework finds out anew for each request what its route wants, behind layers for
what no such route has. Here the same declarations of the same routes are read once, at start; the
functions are called with the same arguments and their refusals go to the same handlers. Routes that
want anything else, and addresses that are not found here, go the general way.
What this saves is measured in docs/performance.md; ADR 26 tells why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Final, get_type_hints

from fastapi import APIRouter, FastAPI, Request, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.jsonbody import StrictRoute, read

#: Where the layers around find what was found here.
_FOUND: Final = "tierce.direct"


class _NotPlainError(Exception):
    """The route wants something that only the general way gives."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A function to await: the name it has for the request, and for what calls before returned."""

    function: Callable[..., Awaitable[Any]]
    request: str | None
    returned: tuple[tuple[str, int], ...]

    def arguments(self, request: Request, results: list[Any]) -> dict[str, Any]:
        given = {name: results[at] for name, at in self.returned}
        if self.request is not None:
            given[self.request] = request
        return given


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one route wants, in the order in which it is had; the last call is the route itself."""

    route: StrictRoute
    #: The names of the ids in its address, by their place in it.
    names: tuple[tuple[int, str], ...]
    #: Its arguments that are headers as they are, None without one.
    headers: tuple[tuple[str, str], ...]
    before: tuple[_Call, ...]
    itself: _Call

    async def answer(self, request: Request) -> Response:
        """Return what the route answers.

        Raises:
            RequestValidationError, Refusal: as the general way does, in the same order.
        """
        wanted = self.route.dependant
        body = await read(request, self.route)
        results: list[Any] = []
        for call in self.before:
            results.append(await call.function(**call.arguments(request, results)))
        given = self.itself.arguments(request, results)
        for name, header in self.headers:
            given[name] = request.headers.get(header)
        errors: list[Any] = []
        for one in wanted.path_params:
            found = request.path_params[one.alias]
            given[one.name], wrong = one.validate(found, given, loc=("path", one.alias))
            errors += wrong
        if wanted.body_params:
            values, wrong = await request_body_to_args(wanted.body_params, body, False)
            given.update(values)
            errors += wrong
        if errors:
            raise RequestValidationError(errors, body=body)
        response: Response = await self.itself.function(**given)
        return response


@dataclass(slots=True)
class _Place:
    """A place in the tree of addresses: what may come next in one, and the route that ends here."""

    fixed: dict[str, _Place] = field(default_factory=dict)
    id: _Place | None = None
    plan: _Plan | None = None
    taken: bool = False


class Direct:
    """Serves the posts of plain routes; ``find`` tells whether a request is one."""

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._root = _Place()
        for router in routers:
            for route in router.routes:
                if "POST" in (getattr(route, "methods", None) or ()):
                    self._add(route)

    def _add(self, route: Any) -> None:
        place = self._root
        names: list[tuple[int, str]] = []
        for at, part in enumerate(route.path.split("/")):
            if part.startswith("{"):
                names.append((at, part.strip("{}")))
                place.id = place = place.id or _Place()
            else:
                place = place.fixed.setdefault(part, _Place())
        if not place.taken:  # the first route of an address has it
            place.taken, place.plan = True, _plan(route, tuple(names))

    def find(self, scope: Scope) -> bool:
        """Tell whether this request is served here; if so, ``scope`` says by what."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return False
        parts = scope["path"].split("/")
        place = self._root
        for part in parts:
            after = place.fixed.get(part) or (place.id if part else None)
            if after is None:
                return False
            place = after
        plan = place.plan
        if plan is None:
            return False
        scope["app"] = self._app
        scope["route"] = plan.route
        scope["path_params"] = {name: parts[at] for at, name in plan.names}
        scope[_FOUND] = plan
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that was found."""
        plan: _Plan = scope[_FOUND]
        request = Request(scope, receive, send)
        try:
            response = await plan.answer(request)
        except Exception as error:
            response = await self._refused(request, error)
        await response(scope, receive, send)

    async def _refused(self, request: Request, error: Exception) -> Response:
        handlers: Mapping[Any, Any] = self._app.exception_handlers
        for kind in type(error).__mro__:
            if kind in handlers:
                response: Response = await handlers[kind](request, error)
                return response
        raise error


class Application(FastAPI):
    """The framework's application, with a short way for what is asked most."""

    _direct: Direct
    _short_way: ASGIApp

    def shorten(self, routers: Iterable[APIRouter], edge: Callable[[ASGIApp], ASGIApp]) -> None:
        """Serve plain posts of ``routers`` behind nothing but ``edge``."""
        self._direct = Direct(self, routers)
        self._short_way = edge(self._direct)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._direct.find(scope):
            await self._short_way(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _plan(route: Any, names: tuple[tuple[int, str], ...]) -> _Plan | None:
    """Return how to serve a route, or None where the general way must."""
    if not isinstance(route, StrictRoute) or not route.path.startswith("/v1/"):
        return None  # a page says in words what came to nothing, and the general way has those
    if get_type_hints(route.endpoint).get("return") is not Response:
        return None
    calls: list[_Call] = []
    try:
        itself = _call(route.dependant, calls, {})
    except _NotPlainError:
        return None
    headers = []
    for one in route.dependant.header_params:
        info = one.field_info
        if info.annotation != str | None or info.metadata or one.default is not None:
            return None
        headers.append((one.name, one.alias))
    for one in route.dependant.body_params:
        if isinstance(one.field_info, params.Form) or route._embed_body_fields:  # noqa: SLF001
            return None
    return _Plan(route, names, tuple(headers), tuple(calls), itself)


def _call(of: Dependant, calls: list[_Call], known: dict[Any, int]) -> _Call:
    """Return a function's call, after adding those it depends on to ``calls``, each once."""
    if any(
        (
            of.query_params,
            of.cookie_params,
            of.websocket_param_name,
            of.response_param_name,
            of.background_tasks_param_name,
            of.security_scopes_param_name,
            of.concurrency,
        )
    ):
        raise _NotPlainError
    function = of.call
    if function is None or not _awaitable(function):
        raise _NotPlainError
    returned: list[tuple[str, int]] = []
    for one in of.dependencies:
        if one.path_params or one.header_params or one.body_params or not one.use_cache:
            raise _NotPlainError
        if one.call not in known:
            call = _call(one, calls, known)
            known[one.call] = len(calls)
            calls.append(call)
        if one.name is not None:
            returned.append((one.name, known[one.call]))
    # A request is a connection too: what asks for either is given it.
    name = of.request_param_name or of.http_connection_param_name
    return _Call(function, name, tuple(returned))


def _awaitable(function: Callable[..., Any]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object that is a dependency
    )
