"""Words that help a developer to mend a value."""

from __future__ import annotations

import re
from typing import Final

from ledger import units
from ledger.refusals import UnknownUnit

_DECIMAL: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,15}))?")
_RULE: Final = "an amount is an integer of minor units"


def amount(given: object, unit: object) -> str:
    """Say how ``given``, which is no integer, is written in ``unit`` (the text beside it)."""
    try:
        known = units.iso(unit) if isinstance(unit, str) else None
    except UnknownUnit:
        known = None
    if known is None:
        return f"{_RULE}: in a unit with 2 decimals, 10.50 is 1050 (see GET /v1/units/{{unit}})"
    has = f"{_RULE}, and {known.code} has {known.exponent} decimals"
    match = _DECIMAL.fullmatch(str(given))
    if match is None:
        return has
    decimals = (match[2] or "").rstrip("0")
    if len(decimals) > known.exponent:
        return f"{has}: {match[0]} {known.code} does not exist"
    minor = int(match[1] + decimals.ljust(known.exponent, "0"))
    return f"{has}: {match[0]} {known.code} is {minor}"
