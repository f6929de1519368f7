"""One way of logging: structured lines, the ids of what is being done in each, and no secrets.

Code logs an event name and facts: ``log.info("posting_created", posting=…)``. What surrounds it
(request, platform, exchange) is bound once with :func:`bound` and appears in every line until then.
Lines of libraries go the same way.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import Processor

REMOVED: Final = "[removed]"

#: Names of facts whose value is never written, whatever it is.
_SECRET_NAMES: Final = re.compile(
    r"authorization|cookie|password|passwd|secret|token|api_?key|operator_?key|signing_?key"
    r"|code_?key|private_?key|hand_?over_?code|digits|\bpin\b|\bpem\b",
    re.IGNORECASE,
)
#: The name of a secret's public part says nothing: these stay readable.
_PUBLIC_NAMES: Final = frozenset({"api_key_id", "key_id", "token_type", "idempotency_key"})

#: Secrets by their shape, wherever in a text they stand.
_SECRET_SHAPES: Final = (
    # PEM blocks, also cut short or with their line ends escaped.
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)", re.DOTALL), REMOVED),
    # The credentials of an Authorization header.
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {REMOVED}"),
    # API keys: tk_, tk_live_, tk_sandbox_ and their like.
    (re.compile(r"\btk_[A-Za-z0-9_-]{8,}"), REMOVED),
    # A payment provider's: secret and restricted keys, signing secrets, a payment's client secret.
    (re.compile(r"\b[sr]k_(live|test)_[A-Za-z0-9_]{6,}"), REMOVED),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{6,}"), REMOVED),
    (re.compile(r"\b((pi|seti|cs)_[A-Za-z0-9_]+?_secret)_[A-Za-z0-9_]+"), rf"\1_{REMOVED}"),
    # Signed tokens (JWS): three parts of base64url, the first a JSON object.
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), REMOVED),
    # The password in a URL.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+@", re.IGNORECASE), rf"\1{REMOVED}@"),
)

#: Libraries that write a line for each request or each round of the schedule.
_CHATTY: Final = (
    "httpx",
    "stripe",
    "httpcore",
    "kombu",
    "amqp",
    "alembic",
    "celery.beat",
    "celery.worker.strategy",
    "celery.app.trace",
)

#: How deep into a fact's own mappings and lists secrets are looked for.
_DEEPEST: Final = 6


def scrub_text(text: str) -> str:
    """Return ``text`` without what looks like a secret."""
    for shape, replacement in _SECRET_SHAPES:
        text = shape.sub(replacement, text)
    return text


def _is_secret(name: str) -> bool:
    return name not in _PUBLIC_NAMES and _SECRET_NAMES.search(name) is not None


def _scrubbed(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bytes):
        return scrub_text(value.decode(errors="replace"))
    if depth >= _DEEPEST:
        return REMOVED if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {
            name: REMOVED if _is_secret(str(name)) else _scrubbed(one, depth + 1)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(one, depth + 1) for one in value]
    return value


def scrub(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Remove secrets from a line: by the name of the fact, and by shape in any text."""
    event.pop("color_message", None)  # uvicorn's own line again, with colours
    for name, value in event.items():
        if _is_secret(name):
            event[name] = REMOVED
        elif not name.startswith("_"):  # structlog's own, taken out before the line is written
            event[name] = _scrubbed(value, 0)
    return event


def _as_json(event: Any, **_: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(level: str = "info", *, as_json: bool = True, stream: TextIO | None = None) -> None:
    """Set up logging for this process: ours and the libraries', to standard error by default.

    Args:
        level: debug, info, warning or error.
        as_json: one JSON object per line; False prints for people.
        stream: where to write instead.

    Raises:
        ValueError: there is no such level.
    """
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise ValueError("TIERCE_LOG_LEVEL must be debug, info, warning or error.")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: Processor
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer(serializer=_as_json)
    else:
        # Traces as plain text: the pretty ones print local variables, secrets among them.
        last = structlog.dev.ConsoleRenderer(
            colors=(stream or sys.stderr).isatty(),
            exception_formatter=structlog.dev.plain_traceback,
        )
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        # A line that is not wanted is dropped before anything is put into it.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            # Scrubbed last, when every fact and trace is in the line.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, scrub, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(known[level.upper()])
    # Uvicorn's own handlers would print each line again, unscrubbed. Its access lines repeat ours.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(known[level.upper()], logging.WARNING))


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Put facts (``request_id=…``, ``exchange=…``, ``posting=…``) into every line logged inside."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield
