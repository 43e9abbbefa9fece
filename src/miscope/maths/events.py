"""When a curve made its move, as an interval between two checkpoints, how sharply, and which of two moved first.

What is measured at checkpoints alone is never known better than between two of them: an onset is an interval, and two
onsets whose intervals overlap have no order.

Source: interval censoring, Turnbull 1976, J. R. Stat. Soc. B 38; the sign test, Arbuthnot 1710.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.statistics import lasting_from

Steps = Int[np.ndarray, " n"]
Values = Float[np.ndarray, " n"]
LEAST_WORTH = 0.01  # share of a curve's squares about its mean that a change point must explain, however low the noise
Cost = Literal["l2", "linear"]  # a segment is a level, or a line over steps
FEWEST: dict[Cost, int] = {"l2": 2, "linear": 3}  # checkpoints of a segment: a slope of two would be a chord


class Onset(NamedTuple):
    """A move from one level to another: it passed half of the way after step `before` and by step `by`."""

    before: int
    by: int
    start: float  # the first value
    end: float  # the last
    width: int  # steps from the last below 10 % of the way to the first lastingly beyond 90 %


def onset(steps: Steps, values: Values) -> Onset | None:
    """The lasting passage of half of the way from the first value to the last; None: the curve made no such move.

    A curve that ends within a tenth of its range from where it began, or is not finite throughout, has none.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 3 or not np.isfinite(values).all():
        return None
    way, extent = values[-1] - values[0], np.ptp(values)
    if extent == 0 or abs(way) < 0.1 * extent:
        return None
    gone = (values - values[0]) / way
    early, at, late = (int(lasting_from(gone >= part)) for part in (0.1, 0.5, 0.9))
    width = int(steps[min(late, len(steps) - 1)] - steps[max(early - 1, 0)])
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


class ChangePoint(NamedTuple):
    """A curve is another after step `before`, from step `by` on."""

    before: int
    by: int


def noise(values: Values) -> float:
    """The standard deviation of what is not smooth in a curve, by its neighbours' median absolute difference.

    Source: Donoho and Johnstone 1994, Biometrika 81(3), section 4.2 (the finest scale, and its median over 0.6745).
    """
    moves = np.diff(np.asarray(values, dtype=np.float64))
    return float(np.median(np.abs(moves - np.median(moves))) / (0.6745 * np.sqrt(2))) if len(moves) else 0.0


def usual_penalty(values: Values) -> float:
    """What a change point costs: 2 noise^2 ln n, and at least a hundredth of the curve's squares about its mean.

    Source: Yao 1988, Statistics and Probability Letters 6(3) (Schwarz criterion); the least, without noise, is ours.
    """
    values = np.asarray(values, dtype=np.float64)
    least = LEAST_WORTH * ((values - values.mean()) ** 2).sum()
    return float(max(2 * noise(values) ** 2 * np.log(len(values)), least))


def change_points(
    steps: Steps, values: Values, penalty: float | None = None, cost: Cost = "l2"
) -> tuple[ChangePoint, ...]:
    """Where a curve takes another level (`l2`), or another line over steps (`linear`): the cheapest way to cut it.

    A cut costs `penalty`, by default the usual one, in squares of the values' unit. Every checkpoint counts once: where
    they are dense, a short excursion counts for more. Nothing for a curve that is constant, short or not finite.

    Source: Killick et al. 2012, arXiv:1101.1438 (PELT), as in `ruptures`, Truong et al. 2020, arXiv:1801.00718.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2 * FEWEST[cost] or not np.isfinite(values).all() or not np.ptp(values):
        return ()
    import ruptures  # a tenth of a second, and only here

    time = np.asarray(steps, dtype=np.float64)
    lines = [np.ones_like(time), time / max(np.ptp(time), 1)] if cost == "linear" else []
    fitted = ruptures.Pelt(model=cost, min_size=FEWEST[cost], jump=1).fit(np.stack([values, *lines], axis=1))
    cuts = fitted.predict(pen=usual_penalty(values) if penalty is None else penalty)[:-1]
    return tuple(ChangePoint(int(steps[i - 1]), int(steps[i])) for i in cuts)


def elbow(steps: Steps, values: Values, cost: Cost = "l2") -> float | None:
    """The penalty in the middle of the longest stretch that leaves the same number of changes; None: no penalty does.

    Of 24 in equal ratios, from a ten-thousandth of the curve's squares about its mean to all of them.

    Source: Haynes et al. 2017, arXiv:1412.3617 (a range of penalties and its elbow); the longest stretch is ours.
    """
    values = np.asarray(values, dtype=np.float64)
    penalties = ((values - values.mean()) ** 2).sum() * np.logspace(-4, 0, 24)
    counts = np.array([len(change_points(steps, values, penalty, cost)) for penalty in penalties], dtype=np.int64)
    if not counts.any():
        return None
    longest = np.bincount(counts[counts > 0]).argmax()
    return float(np.exp(np.log(penalties[counts == longest]).mean()))


class Sharpness(NamedTuple):
    """A move as a logistic curve a + b / (1 + exp((ln t50 - ln t) / width)) of the logarithm of the step t."""

    midpoint: float  # t50 in steps
    width: float  # of ln step; from 10 to 90 % of the way it takes 4.4 widths
    r2: float  # share of the variance that the fit explains; below 0.9 the curve is no such move


def sharpness(steps: Steps, values: Values) -> Sharpness | None:
    """How sharp a curve's move is, which a picture on a logarithmic axis alone does not show.

    Step 0 is left out. None: the curve makes no lasting move, or no logistic fits it.

    Source: least squares; Schaeffer et al. 2023, arXiv:2304.15004 (what looks sharp depends on the axes).
    """
    at, y = np.asarray(steps)[steps > 0], np.asarray(values, dtype=np.float64)[steps > 0]
    moved = onset(at, y)
    if moved is None or len(y) < 5:
        return None
    from scipy.optimize import curve_fit

    time, middle = np.log(at), np.log([max(moved.before, at[0]), moved.by]).mean()
    extent = float(np.ptp(time))
    start = [moved.start, moved.end - moved.start, middle, extent / 20]
    bounds = ([-np.inf, -np.inf, time[0] - extent, 1e-6 * extent], [np.inf, np.inf, time[-1] + extent, 10 * extent])
    try:
        fitted = curve_fit(_logistic, time, y, p0=start, bounds=bounds, maxfev=2000)[0]
    except RuntimeError:  # no fit in so many trials
        return None
    residual = ((y - _logistic(time, *fitted)) ** 2).sum()
    return Sharpness(float(np.exp(fitted[2])), float(fitted[3]), float(1 - residual / ((y - y.mean()) ** 2).sum()))


def _logistic(t: Values, low: float, way: float, middle: float, width: float) -> Values:
    return np.asarray(low + way / (1 + np.exp(np.clip((middle - t) / width, -700, 700))))
