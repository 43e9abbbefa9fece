"""Whether something moves in bursts, or at an even pace, as a walk does that leads nowhere."""

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.walks import burst
from miscope.trackers.representation_similarity import RepresentationSimilarity
from miscope.views.shared import nulls
from miscope.views.shared.sites import kind

EVEN = "a walk of even pace, with a margin"
RESOLUTION = 0.1  # degrees: what activations in 10 bits and similarities in float32 tell apart, with room to spare


def of_moves(
    what: str, moves: Float[np.ndarray, " interval"], gaps: Int[np.ndarray, " interval"], least: float = 0.0
) -> str:
    """The verdict on the longest of the moves between checkpoints; see `burst`, which allows for uneven gaps."""
    if len(moves) < 3:
        return nulls.none("there are fewer than four checkpoints, so no move to compare with the others")
    return nulls.against(f"{what} over the median", burst(moves, gaps.astype(np.float64), least), nulls.MARGIN, EVEN)


def of_turns(similarity: RepresentationSimilarity, at: int) -> str:
    """The verdict on the largest change of one site between neighbouring checkpoints."""
    is_there = np.isfinite(similarity.turn[at])
    turns, gaps = similarity.turn[at][is_there], np.diff(similarity.steps)[is_there]
    return of_moves(f"largest change of {kind(similarity.site[at])}", turns, gaps, RESOLUTION)
