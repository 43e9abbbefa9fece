"""Nulls that several instruments measure: the untrained network with a margin."""

from collections.abc import Callable
from typing import TypeVar

from miscope.instrument import Artifact, Null, Output, Unit, in_words

MARGIN = 1.5  # one untrained network is one draw; another may have half as much again
NO_START = "there is no checkpoint of step 0, the untrained network"

O = TypeVar("O", bound=Output)


def raised(share: float, margin: float) -> float:
    """The share whose odds, for to against, are `margin` times as large; a margin on what ends at 1."""
    return margin * share / (1 + (margin - 1) * share)


def against_untrained(
    statistic: str,
    artifact: Artifact[O],
    measure: Callable[[O], float],
    step: int | None = None,
    *,
    margin: float = MARGIN,
    is_lower: bool = False,
    unit: Unit = "number",
) -> Null:
    """The null that is the network before training, at one step or at the last.

    What differs by more than the factor `margin` is beyond it. A variant that has no step 0 (it was imported, or
    branched off later) has no null.
    """
    if artifact.steps[0] != 0:
        return Null.absent(NO_START)
    value, start = (float(measure(artifact[s])) for s in (artifact.steps[-1] if step is None else step, 0))
    source = f"the untrained network{'' if margin == 1 else f' with a margin of {in_words(margin)}'}"
    threshold = start / margin if is_lower else start * margin
    return Null(statistic, value, threshold, source, level=None, is_lower=is_lower, unit=unit)
