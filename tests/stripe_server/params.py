"""What a request may say: parameters are checked by name and type before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.stripe_server.errors import invalid
from tests.stripe_server.forms import Upload

Check = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Need:
    """A parameter that must be there."""

    check: Check


Spec = Mapping[str, Check | Need]


def read(spec: Spec, given: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Check ``given`` against ``spec`` and convert it.

    Raises:
        ApiError: unknown, missing or malformed parameter, as Stripe words it.
    """
    for name in given:
        if name not in spec:
            full = _join(path, name)
            raise invalid(f"Received unknown parameter: {full}", "parameter_unknown", full)
    out: dict[str, Any] = {}
    for name, rule in spec.items():
        full = _join(path, name)
        if name in given:
            check = rule.check if isinstance(rule, Need) else rule
            out[name] = check(given[name], full)
        elif isinstance(rule, Need):
            raise invalid(f"Missing required param: {full}.", "parameter_missing", full)
    return out


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def text(value: Any, name: str) -> str:
    """A string that says something."""
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", None, name)
    if not value:
        message = f"You passed an empty string for '{name}'."
        raise invalid(message, "parameter_invalid_empty", name)
    if len(value) > 5000:
        raise invalid(f"Invalid string: {name} is too long", None, name)
    return value


def text_or_empty(value: Any, name: str) -> str | None:
    """A string, or an empty one that unsets."""
    return text(value, name) if value != "" else None


def long_text(value: Any, name: str) -> str:
    """A field of evidence: up to 20,000 characters."""
    if not isinstance(value, str) or len(value) > 20_000:
        raise invalid(f"Invalid string: {name} must be at most 20000 characters", None, name)
    return value


def integer(value: Any, name: str) -> int:
    """A whole number."""
    try:
        return int(str(value))
    except ValueError:
        message = f"Invalid integer: {value}"
        raise invalid(message, "parameter_invalid_integer", name) from None


def positive(value: Any, name: str) -> int:
    """A whole number of at least one."""
    number = integer(value, name)
    if number < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, "parameter_invalid_integer", name)
    return number


def boolean(value: Any, name: str) -> bool:
    """``true`` or ``false``."""
    if value not in {"true", "false"}:
        raise invalid(f"Invalid boolean: {value}", None, name)
    return bool(value == "true")


def choice(*options: str) -> Check:
    """One of the words."""

    def check(value: Any, name: str) -> str:
        if value not in options:
            wanted = ", ".join(options)
            raise invalid(f"Invalid {name}: must be one of {wanted}", None, name)
        return str(value)

    return check


def currency(value: Any, name: str) -> str:
    """Three letters; always kept small."""
    if not isinstance(value, str) or len(value) != 3 or not value.isalpha():
        raise invalid(f"Invalid currency: {value}", None, name)
    return value.lower()


def address(value: Any, name: str) -> str:
    """An address with its scheme."""
    if not isinstance(value, str) or "://" not in value:
        raise invalid("Not a valid URL", "url_invalid", name)
    return value


def listing(item: Check) -> Check:
    """A list of what ``item`` checks."""

    def check(value: Any, name: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, list):
            raise invalid(f"Invalid array: {name}", None, name)
        return [item(inner, f"{name}[{place}]") for place, inner in enumerate(value)]

    return check


def mapping(spec: Spec) -> Check:
    """An object of its own spec."""

    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise invalid(f"Invalid object: {name}", None, name)
        return read(spec, value, name)

    return check


def any_object(value: Any, name: str) -> dict[str, Any]:
    """An object that is kept as it came."""
    if not isinstance(value, dict):
        raise invalid(f"Invalid object: {name}", None, name)
    return value


def metadata(value: Any, name: str) -> dict[str, str]:
    """Up to 50 keys of 40 characters with values of 500; an empty value removes its key."""
    if value == "":
        return {}
    if not isinstance(value, dict) or len(value) > 50:
        raise invalid(f"Invalid object: {name} takes up to 50 keys", None, name)
    for key, word in value.items():
        if len(key) > 40 or not isinstance(word, str) or len(word) > 500:
            raise invalid(f"Invalid metadata: {name}[{key}]", None, f"{name}[{key}]")
    return dict(value)


def upload(value: Any, name: str) -> Upload:
    """An uploaded file."""
    if not isinstance(value, Upload):
        raise invalid(f"Invalid file: {name}", None, name)
    return value


def merged(old: dict[str, str], new: dict[str, str] | None) -> dict[str, str]:
    """Metadata after an update: keys are added or changed, those with an empty value removed."""
    both = old | (new or {})
    return {key: value for key, value in both.items() if value != ""}


def created(value: Any, name: str) -> dict[str, int]:
    """A second, or bounds ``gt``, ``gte``, ``lt``, ``lte``."""
    if isinstance(value, dict):
        bounds = {"gt": integer, "gte": integer, "lt": integer, "lte": integer}
        return read(bounds, value, name)
    second = integer(value, name)
    return {"gte": second, "lte": second}


#: Of every list.
PAGE: Spec = {"limit": positive, "starting_after": text, "ending_before": text}
