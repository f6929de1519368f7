"""Amounts between ISO 4217 and Stripe's own count: exact, or refused."""

from __future__ import annotations

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from ledger import units
from ledger.refusals import UnknownUnit
from service.payments.port import ProviderRefused
from service.payments.stripe.money import UnreadableAmount, from_stripe, to_stripe, unit_of


def _currencies() -> list[str]:
    """Return every currency that the ledger knows."""
    tenders = get_global("territory_currencies").values()
    codes = {code for lines in tenders for code, *_rest in lines} | {"CLF", "UYI", "UYW"}
    found = []
    for code in sorted(codes):
        try:
            units.iso(code)
        except UnknownUnit:
            continue
        found.append(code)
    return found


CURRENCIES = _currencies()


@pytest.mark.parametrize(
    ("amount", "unit", "theirs"),
    [
        (6500, "EUR", 6500),
        (1050, "JPY", 1050),
        (500, "XOF", 500),
        (5, "UGX", 500),
        (5, "ISK", 500),
        (50_000, "MGA", 500),
        (150, "HUF", 150),
        (1230, "KWD", 1230),
        (1230, "TND", 1230),
    ],
)
def test_stripe_counts_as_its_documentation_says(amount: int, unit: str, theirs: int) -> None:
    assert to_stripe(amount, unit) == theirs
    assert from_stripe(theirs, unit.lower()) == amount


@pytest.mark.parametrize(("amount", "unit"), [(50_001, "MGA"), (1234, "KWD"), (7, "TND")])
def test_an_amount_that_stripe_cannot_express_is_refused(amount: int, unit: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        to_stripe(amount, unit)
    assert refused.value.failure == "amount_not_supported"


@pytest.mark.parametrize("unit", ["CLF", "UYW", "HOURS", "XXX"])
def test_a_unit_that_stripe_does_not_know_is_refused(unit: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        to_stripe(100, unit)
    assert refused.value.failure == "unit_not_supported"


@pytest.mark.parametrize(("theirs", "currency"), [(550, "ugx"), (1, "isk"), (100, "zzz")])
def test_an_amount_of_stripe_s_that_is_no_whole_minor_unit_is_never_rounded(
    theirs: int, currency: str
) -> None:
    with pytest.raises(UnreadableAmount):
        from_stripe(theirs, currency)


@given(
    st.integers(min_value=-(10**12), max_value=10**12),
    st.sampled_from(CURRENCIES),
)
def test_every_amount_comes_back_as_it_went_or_does_not_go(amount: int, unit: str) -> None:
    try:
        theirs = to_stripe(amount, unit)
    except ProviderRefused:
        return
    assert from_stripe(theirs, unit.lower()) == amount
    assert unit_of(unit.lower()) == unit


@given(st.integers(min_value=-(10**12), max_value=10**12), st.sampled_from(CURRENCIES))
def test_what_is_read_has_the_value_that_stripe_told(theirs: int, unit: str) -> None:
    """UGX and ISK have two decimals at Stripe, MGA none: elsewhere both count alike."""
    scale = {"UGX": (1, 100), "ISK": (1, 100), "MGA": (100, 1)}.get(unit, (1, 1))
    try:
        ours = from_stripe(theirs, unit.lower())
    except UnreadableAmount:
        assert theirs % scale[1] or units.iso(unit).exponent > 3
        return
    assert ours * scale[1] == theirs * scale[0]
