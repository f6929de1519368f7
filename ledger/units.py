"""Units: the currencies of ISO 4217, and those that a community defines for itself.

Which currencies are in use comes from Babel (CLDR). Their decimals follow ISO 4217, which differs
from CLDR's habits of writing (the Iraqi dinar is written without decimals and has three).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from babel.core import get_global
from sqlalchemy import Connection, text

from ledger.refusals import InvalidUnit, UnitTaken, UnknownUnit

#: ISO 4217 minor units where they are not 2 (the list of the maintenance agency, SIX).
_DECIMALS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
MOST_CREDIT: Final = 10**15


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of value: one of it is ``10 ** exponent`` minor units, in which all amounts are."""

    code: str
    exponent: int
    name: str
    community: bool = False
    credit_limit: int = 0

    def format(self, amount: int) -> str:
        """Return ``amount`` minor units as exact decimal text with the code: ``-1.50 EUR``."""
        return f"{self.decimal(amount)} {self.code}"

    def decimal(self, amount: int) -> str:
        """Return ``amount`` minor units as exact decimal text, with every decimal of the unit."""
        sign, digits = "-" if amount < 0 else "", str(abs(amount)).rjust(self.exponent + 1, "0")
        if self.exponent == 0:
            return sign + digits
        return f"{sign}{digits[: -self.exponent]}.{digits[-self.exponent :]}"


@lru_cache(maxsize=1)
def _iso() -> Mapping[str, Unit]:
    """Every currency that is legal tender somewhere now, and ISO's units of account."""
    codes = {"CLF", "UYI", "UYW"}
    for tenders in get_global("territory_currencies").values():
        codes |= {code for code, _start, end, tender in tenders if end is None and tender}
    return {
        code: Unit(code, _DECIMALS.get(code, 2), code)
        for code in codes
        if len(code) == 3 and code not in {"XXX", "XTS"}
    }


def iso(code: str) -> Unit:
    """Return the currency ``code`` of ISO 4217.

    Raises:
        UnknownUnit: no such currency is in use.
    """
    unit = _iso().get(code)
    if unit is None:
        raise UnknownUnit(f"'{code}' is not a currency of ISO 4217 in use.", unit=code)
    return unit


def define(
    connection: Connection,
    platform_id: UUID,
    code: str,
    name: str,
    exponent: int,
    credit_limit: int,
) -> Unit:
    """Define a community unit: a code of 4 to 12 capitals and digits, 0 to 4 decimals.

    ``credit_limit`` (minor units) is how far a member's account may go below zero.

    Raises:
        InvalidUnit, UnitTaken
    """
    letters = code.replace("_", "A")
    if not (4 <= len(code) <= 12 and letters.isascii() and letters.isalnum()) or (
        letters != letters.upper() or letters[0].isdigit() or code[0] == "_"
    ):
        raise InvalidUnit(
            "A community unit has a code of 4 to 12 capitals, digits or '_', such as HOURS; codes "
            "of three letters belong to ISO 4217.",
            pointer="/code",
        )
    if not 0 <= exponent <= 4:
        raise InvalidUnit("A unit has 0 to 4 decimals.", pointer="/exponent")
    if not 0 <= credit_limit <= MOST_CREDIT:
        raise InvalidUnit(f"A credit limit is 0 to {MOST_CREDIT}.", pointer="/credit_limit")
    written = connection.execute(
        text(
            "INSERT INTO ledger.unit (platform_id, code, name, exponent, credit_limit) "
            "VALUES (:platform_id, :code, :name, :exponent, :credit_limit) ON CONFLICT DO NOTHING"
        ),
        {
            "platform_id": platform_id,
            "code": code,
            "name": name,
            "exponent": exponent,
            "credit_limit": credit_limit,
        },
    )
    if written.rowcount == 0:
        raise UnitTaken(f"This platform has a unit {code} already.", pointer="/code")
    return Unit(code, exponent, name, True, credit_limit)


def find_many(connection: Connection, platform_id: UUID, codes: Collection[str]) -> dict[str, Unit]:
    """Return those of ``codes`` that exist: ISO's, and the platform's own."""
    known = {code: _iso()[code] for code in codes if code in _iso()}
    own = [code for code in codes if code not in known]
    if own:
        rows = connection.execute(
            text(
                "SELECT code, exponent, name, credit_limit FROM ledger.unit "
                "WHERE platform_id = :platform_id AND code = ANY(:codes)"
            ),
            {"platform_id": platform_id, "codes": own},
        )
        known |= {r.code: Unit(r.code, r.exponent, r.name, True, r.credit_limit) for r in rows}
    return known


def get(connection: Connection, platform_id: UUID, code: str) -> Unit:
    """Return one unit.

    Raises:
        UnknownUnit: neither ISO nor the platform has it.
    """
    unit = find_many(connection, platform_id, [code]).get(code)
    if unit is None:
        raise UnknownUnit(
            f"'{code}' is neither an ISO 4217 currency nor a unit of this platform.", unit=code
        )
    return unit


def community(connection: Connection, platform_id: UUID) -> list[Unit]:
    """Return the platform's own units, by code."""
    rows = connection.execute(
        text(
            "SELECT code, exponent, name, credit_limit FROM ledger.unit "
            "WHERE platform_id = :platform_id ORDER BY code"
        ),
        {"platform_id": platform_id},
    )
    return [Unit(r.code, r.exponent, r.name, True, r.credit_limit) for r in rows]
