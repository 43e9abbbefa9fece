"""Nulls that several instruments measure: a difference with a margin, the untrained network, a random walk."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from miscope.instrument import Artifact, Null, Output, in_words
from miscope.maths.walks import burst

MARGIN = 1.5  # one untrained network is one draw; another may have half as much again
EVEN = "a walk of constant speed, with a margin"
NO_START = "there is no checkpoint of step 0, the untrained network"

O = TypeVar("O", bound=Output)


def raised(share: float, margin: float) -> float:
    """The share whose odds, for to against, are `margin` times as large; a margin on what ends at 1."""
    return margin * share / (1 + (margin - 1) * share)


def with_margin(
    statistic: str, value: float, start: float, of: str, *, margin: float = MARGIN, is_lower: bool = False, **more: Any
) -> Null:
    """The null that `start`, the value of what it is `of`, sets: what differs by more than the factor `margin`."""
    source = of if margin == 1 else f"{of} with a margin of {in_words(margin)}"
    threshold = start / margin if is_lower else start * margin
    return Null(statistic, value, threshold, source, level=None, is_lower=is_lower, **more)


def against_untrained(
    statistic: str, artifact: Artifact[O], measure: Callable[[O], float], step: int | None = None, **more: Any
) -> Null:
    """The null that is the network before training, at one step or the last; none without a checkpoint of step 0."""
    if artifact.steps[0] != 0:
        return Null.absent(NO_START)
    value, start = (float(measure(artifact[s])) for s in (artifact.steps[-1] if step is None else step, 0))
    return with_margin(statistic, value, start, "the untrained network", **more)


def of_moves(
    statistic: str, moves: Float[np.ndarray, " interval"], gaps: Int[np.ndarray, " interval"], least: float = 0.0
) -> Null:
    """The null of the longest of the moves between checkpoints; see `burst`, which allows for uneven gaps."""
    if len(moves) < 3:
        return Null.absent("there are fewer than four checkpoints, so no move to compare with the others")
    longest = burst(moves, gaps.astype(np.float64), least)
    return Null(f"{statistic} over the median", longest, MARGIN, EVEN, "matched", level=None)
