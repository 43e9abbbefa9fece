"""When a curve made its move, as an interval between two checkpoints, and which of two curves moved first.

What is measured at checkpoints alone is never known better than between two of them: an onset is an interval, and two
onsets whose intervals overlap have no order.

Source: interval censoring, Turnbull 1976, J. R. Stat. Soc. B 38; the sign test, Arbuthnot 1710.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.statistics import lasting_from


class Onset(NamedTuple):
    """A move from one level to another: it passed half of the way after step `before` and by step `by`."""

    before: int
    by: int
    start: float  # the first value
    end: float  # the last
    width: int  # steps from the last below 10 % of the way to the first lastingly beyond 90 %


def onset(steps: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"], share: float = 0.5) -> Onset | None:
    """The lasting passage of `share` of the way from the first value to the last; None: the curve made no such move.

    A curve that ends within a tenth of its range from where it began, or is not finite throughout, has none.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 3 or not np.isfinite(values).all():
        return None
    way, extent = values[-1] - values[0], np.ptp(values)
    if extent == 0 or abs(way) < 0.1 * extent:
        return None
    gone = (values - values[0]) / way
    at = int(lasting_from(gone >= share))
    early, late = (int(lasting_from(gone >= part)) for part in (0.1, 0.9))
    last = len(steps) - 1
    width = int(steps[min(late, last)] - steps[max(early - 1, 0)])
    return Onset(int(steps[at - 1]), int(steps[at]), float(values[0]), float(values[-1]), width)


def order_of(first: Onset, second: Onset) -> int:
    """-1: the first moved before the second; 1: after it; 0: their intervals overlap."""
    if first.by <= second.before:
        return -1
    return int(second.by <= first.before)


def lead(first: Onset, second: Onset) -> float:
    """Steps from the middle of the first's interval to that of the second's; positive: the first leads."""
    return (second.before + second.by - first.before - first.by) / 2


def sign_test(n_for: int, n_against: int) -> float:
    """Two-sided probability of a split at least as uneven if each order were as likely; 1 without a case."""
    from scipy.stats import binomtest

    n = n_for + n_against
    return float(binomtest(n_for, n).pvalue) if n else 1.0
