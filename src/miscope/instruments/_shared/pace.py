"""Whether something moves in bursts, or at an even pace, as a walk does that leads nowhere."""

import numpy as np
from jaxtyping import Float, Int

from miscope.instrument import Null
from miscope.instruments._shared.nulls import MARGIN
from miscope.maths.walks import burst

EVEN = "a walk of even pace, with a margin"


def of_moves(
    statistic: str, moves: Float[np.ndarray, " interval"], gaps: Int[np.ndarray, " interval"], least: float = 0.0
) -> Null:
    """The null of the longest of the moves between checkpoints; see `burst`, which allows for uneven gaps."""
    if len(moves) < 3:
        return Null.absent("there are fewer than four checkpoints, so no move to compare with the others")
    longest = burst(moves, gaps.astype(np.float64), least)
    return Null(f"{statistic} over the median", longest, MARGIN, EVEN, "matched", level=None)
