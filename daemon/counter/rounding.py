"""The one rounding rule of the box: half up, in integers, on each line of a cart, never on its sum.

Half up is what a payer expects of a price tag and what tills in China, Hong Kong and Europe print; half even would
save a statistician's tenth of a cent and cost every clerk an explanation. All amounts here are positive.
"""

from __future__ import annotations

BASIS_POINTS = 10_000  # 1300 basis points are 13 %


def half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest whole number, a half upwards; both must be positive or the first 0."""
    return (2 * numerator + denominator) // (2 * denominator)


def by_weight(price_per_kg_minor: int, grams: int) -> int:
    """What `grams` cost, in minor units: 452 g at 39.80 a kilogram are 17.99."""
    return half_up(price_per_kg_minor * grams, 1000)


def tax_on(net_minor: int, rate_bp: int) -> int:
    """The tax that is added to a price without it."""
    return half_up(net_minor * rate_bp, BASIS_POINTS)


def tax_in(gross_minor: int, rate_bp: int) -> int:
    """The part of a price that is tax, where the price holds it."""
    return half_up(gross_minor * rate_bp, BASIS_POINTS + rate_bp)
