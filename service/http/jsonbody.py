"""Read a JSON body strictly, so that what is checked is what was meant (RFC 8259, I-JSON)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NoReturn, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import PydanticUndefined
from starlette.responses import Response

from service.http.refusals import BadRequest, InvalidBody, InvalidText, WrongMediaType

_LONG_NUMBER: Final = re.compile(rb"\d{19}")
_MOST_DIGITS: Final = re.compile(rb"\d{400}")
_INT64: Final = 2**63


def parse(body: bytes) -> Any:
    """Return the value of ``body``.

    Raises:
        BadRequest: not UTF-8, not JSON, NaN or Infinity, or nested too deep.
        InvalidBody: a name twice in one object, or an integer beyond 64 bits.
        InvalidText: a NUL or a lone surrogate, with a pointer to it.
    """
    if _MOST_DIGITS.search(body):
        raise InvalidBody("A number has hundreds of digits.")
    try:
        # Decoded here: the library would guess at UTF-16 and let lone surrogates through.
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        # Both are rare and need a walk; the bytes tell when one is called for.
        if b"\\u" in body or _LONG_NUMBER.search(body):
            _walk(value, "")
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadRequest(f"The body is not JSON in UTF-8: {error}.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deep.") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidBody(f"The name {twice!a} stands twice in one object.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not a JSON number.")


def _walk(value: Any, at: str) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidText(
                "Text holds a NUL or half of a surrogate pair.",
                pointer=at.encode("utf-8", "replace").decode(),
            )
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise InvalidBody("An integer is beyond 64 bits.", pointer=at)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _walk(name, at)
            _walk(inner, f"{at}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{at}/{index}")


def _query_names(of: Dependant) -> dict[str, bool]:
    """Return the parameters of a query, and whether each may stand there more than once."""
    names = {}
    for one in of.query_params:
        kind = one.field_info.annotation
        names[one.alias] = any(get_origin(each) is list for each in (kind, *get_args(kind)))
    for inner in of.dependencies:
        names |= _query_names(inner)
    return names


def _only(known: Mapping[str, bool], given: Iterable[str]) -> None:
    """Refuse a parameter that would be ignored: a misspelt filter would show everything."""
    counted = Counter(given)
    words = f"There is no such parameter here; there are: {', '.join(sorted(known)) or 'none'}."
    wrong = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": words}
        for name in counted
        if name not in known
    ] + [
        {"type": "given_twice", "loc": ("query", name), "msg": "Give this parameter once."}
        for name, times in counted.items()
        if times > 1 and not known.get(name, True)
    ]
    if wrong:
        raise RequestValidationError(wrong)


class StrictRoute(APIRoute):
    """A route that takes nothing it does not know: neither in its body nor in its query.

    The body is read by :func:`parse` instead of the framework's lenient reader.
    """

    @cached_property
    def query_names(self) -> dict[str, bool]:
        """The names of all parameters of its query, and which of them may be repeated."""
        return _query_names(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler so that it finds the body read already."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            body = await read(request, self)
            if body is not PydanticUndefined:
                request._json = body  # noqa: SLF001 - where Starlette keeps a read body
            return await handler(request)

        return strict


async def read(request: Request, route: StrictRoute) -> Any:
    """Return the value of a request's body; pydantic's word for "nothing" where it has none.

    Raises:
        BadRequest, InvalidBody, InvalidText: as :func:`parse`.
        WrongMediaType: the body is not said to be JSON.
        RequestValidationError: the address asks for something the route does not know, or twice
            for what it can have once.
    """
    if request.scope["query_string"]:
        _only(route.query_names, (name for name, _ in request.query_params.multi_items()))
    body = b"" if route.body_field is None else await request.body()
    if not body:
        return PydanticUndefined
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind.strip().lower() != "application/json":
        raise WrongMediaType("Send the body as application/json.")
    return parse(body)
