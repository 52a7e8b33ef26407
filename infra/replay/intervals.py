"""Confidence intervals of proportions. Pure.

Both formulas: R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of
eleven methods", Statistics in Medicine 17 (1998), 873-890. They hold at 0 of n too, where the usual ones give no width.
"""

from math import sqrt

LEVEL = 0.95
# The 97.5 % quantile of the normal distribution.
Z = 1.959964


def wilson(count: int, of: int) -> tuple[float, float]:
    """E. B. Wilson's score interval of `count` in `of` at 95 %, without continuity correction; (0, 1) of nothing."""
    if of <= 0:
        return 0.0, 1.0
    share, z2 = count / of, Z * Z
    middle, half = 2 * of * share + z2, Z * sqrt(z2 + 4 * of * share * (1 - share))
    scale = 2 * (of + z2)
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def newcombe(count: int, of: int, other_count: int, other_of: int) -> tuple[float, float]:
    """The interval of the difference count/of - other_count/other_of at 95 %: Newcombe's hybrid score, his method 10.

    Both denominators must be positive.
    """
    share, other = count / of, other_count / other_of
    (low, high), (other_low, other_high) = wilson(count, of), wilson(other_count, other_of)
    difference = share - other
    return (
        difference - sqrt((share - low) ** 2 + (other_high - other) ** 2),
        difference + sqrt((high - share) ** 2 + (other - other_low) ** 2),
    )
