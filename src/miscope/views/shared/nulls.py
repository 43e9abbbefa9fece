"""What a view says about chance: whether what it shows is beyond what a network that learned nothing would show.

A table carries the sentence in `attrs["null"]`, and every drawing shows it under its title. There are three kinds:
`Beyond its null: …`, `Within its null: …`, and `No null: …` with the reason.
"""

import math
from collections.abc import Callable
from typing import TypeVar

from miscope.core import Artifact, Output

BEYOND, WITHIN, NONE = "Beyond its null", "Within its null", "No null"
MARGIN = 1.5  # one untrained network is one draw; another may have half as much again
NO_START = "there is no checkpoint of step 0, the untrained network"

O = TypeVar("O", bound=Output)


def number(value: float) -> str:
    """Three digits, for people."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.3g} %"


def raised(share: float, margin: float) -> float:
    """The share whose odds, for to against, are `margin` times as large; a margin on what ends at 1."""
    return margin * share / (1 + (margin - 1) * share)


def none(reason: str) -> str:
    """The sentence of a view that chance cannot feign, or whose null is not at hand; `reason` says which."""
    return f"{NONE}: {reason}."


def against(
    what: str,
    found: float,
    null: float,
    source: str,
    *,
    is_lower: bool = False,
    text: Callable[[float], str] = number,
) -> str:
    """The verdict on one number that sums up the view: beyond its null if it is more (`is_lower`: less) than `null`.

    `source` says where the null comes from, such as "99 % of random embeddings"; a number that was not measured gives
    no verdict.
    """
    if not (math.isfinite(found) and math.isfinite(null)):
        return none(f"{what} was not measured")
    is_beyond = found < null if is_lower else found > null
    return f"{BEYOND if is_beyond else WITHIN}: {what} {text(found)}, against {text(null)} in {source}."


def against_untrained(
    what: str,
    artifact: Artifact[O],
    measure: Callable[[O], float],
    step: int | None = None,
    *,
    margin: float = MARGIN,
    is_lower: bool = False,
    text: Callable[[float], str] = number,
) -> str:
    """The verdict against the network before training, at one step or at the last.

    It is beyond where it differs by more than the factor `margin`. A variant that has no step 0 (it was imported, or
    branched off later) gives no verdict.
    """
    if artifact.steps[0] != 0:
        return none(NO_START)
    found, start = (float(measure(artifact[s])) for s in (artifact.steps[-1] if step is None else step, 0))
    null = start / margin if is_lower else start * margin
    source = f"the untrained network{'' if margin == 1 else f' with a margin of {margin:g}'}"
    return against(what, found, null, source, is_lower=is_lower, text=text)
