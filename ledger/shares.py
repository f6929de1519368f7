"""Share an amount out without losing a minor unit."""

from __future__ import annotations

from collections.abc import Sequence


def split(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Share ``amount`` minor units in proportion to ``weights``, by largest remainder.

    The shares always sum to ``amount``; ties go to the earlier share.

    Raises:
        ValueError: the amount or a weight is negative, or all weights are zero.
    """
    whole = sum(weights)
    if amount < 0 or whole <= 0 or min(weights) < 0:
        raise ValueError("an amount is shared by weights that are not negative and not all zero")
    shares = [amount * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda index: (-(amount * weights[index] % whole), index)
    )
    for index in by_remainder[: amount - sum(shares)]:
        shares[index] += 1
    return tuple(shares)
