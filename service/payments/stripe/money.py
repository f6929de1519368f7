"""Amounts as Stripe counts them. The ledger counts in ISO 4217's minor units; Stripe mostly does.

Source: Stripe's page "Supported currencies" (zero-decimal currencies, special cases, three-decimal
currencies), against the list of ISO 4217's maintenance agency in :mod:`ledger.units`.
"""

from __future__ import annotations

from typing import Final

from ledger import units
from ledger.refusals import UnknownUnit
from service.payments.port import ProviderRefused

#: Stripe's decimals where they differ from ISO's.
_DECIMALS: Final = {
    "MGA": 0,  # ISO has 2: Stripe knows no iraimbilanja
    "UGX": 2,  # ISO has 0: Stripe keeps two decimals that must be 00
    "ISK": 2,  # as UGX
}
#: Of three decimals, the banks behind Stripe take two: the last must be 0.
_LAST_IS_ZERO: Final = 3
#: Stripe knows no currency with more decimals than three.
_MOST_DECIMALS: Final = 3


class UnreadableAmount(RuntimeError):
    """Stripe told an amount that ISO's minor units cannot express: nothing is rounded, look."""


def to_stripe(amount: int, unit: str) -> int:
    """Return ``amount`` minor units of ``unit`` as Stripe counts them.

    Raises:
        ProviderRefused: ``amount_not_supported``, Stripe cannot express it exactly;
            ``unit_not_supported``, Stripe does not know the currency.
    """
    iso, theirs = _decimals(unit)
    scaled = amount * 10 ** max(theirs - iso, 0)
    rest = scaled % 10 ** max(iso - theirs, 0)
    if rest or (theirs == _LAST_IS_ZERO and scaled % 10):
        raise ProviderRefused("amount_not_supported", f"Stripe cannot express {amount} of {unit}.")
    return int(scaled // 10 ** max(iso - theirs, 0))


def from_stripe(amount: int, currency: str) -> int:
    """Return an amount of Stripe's (``currency`` in its small letters) in ISO's minor units.

    Raises:
        UnreadableAmount: it is not a whole number of them.
    """
    try:
        iso, theirs = _decimals(unit_of(currency))
    except ProviderRefused as unknown:
        raise UnreadableAmount(str(unknown)) from unknown
    scaled = amount * 10 ** max(iso - theirs, 0)
    whole, rest = divmod(scaled, 10 ** max(theirs - iso, 0))
    if rest:
        raise UnreadableAmount(f"{amount} of Stripe's {currency} is no whole minor unit")
    return int(whole)


def unit_of(currency: str) -> str:
    """Return Stripe's currency as our unit."""
    return currency.upper()


def _decimals(unit: str) -> tuple[int, int]:
    """ISO's decimals of a unit, and Stripe's."""
    try:
        iso = units.iso(unit).exponent
    except UnknownUnit as unknown:
        raise ProviderRefused("unit_not_supported", str(unknown)) from unknown
    if iso > _MOST_DECIMALS:
        raise ProviderRefused("unit_not_supported", f"Stripe does not know {unit}.")
    return iso, _DECIMALS.get(unit, iso)
