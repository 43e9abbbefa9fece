"""How large the weights are, and how far they are from where they began."""

import numpy as np
import pandas as pd

from miscope.instruments._shared.curves import from_zero
from miscope.instruments.weight_norms.measure import WeightNorms, weight_matrices
from miscope.plugin import Context, MiscopeError, Table, joined, lines, long, theme, view

DISTANCE, WALK = "distance from initialisation", "random walk of the same steps"


@view(
    question="How large are the weights, and how far from where they began?",
    reading="The norm of all weights and the L2 norm of their change since the first checkpoint. A norm that falls "
    "is weight decay at work. A distance that picks up speed while the loss is flat is progress that the loss does not "
    "show. Grey: the distance if no change between checkpoints had to do with those before; weight decay, too, leads "
    "further than that.",
    draw=lines("step", "size", "measure", titles={"size": "L2 norm"}),
)
def overview(norms: WeightNorms, context: Context) -> Table:
    """One row per (measure, step); `size` is an L2 norm over all weights."""
    sizes = np.stack([norms.norm[0], norms.distance[0], norms.walk[0]])
    rows = long("size", sizes, measure=("norm", DISTANCE, WALK), step=norms.steps)
    return from_zero("size", rows, colors={WALK: theme.GREY})


@view(
    question="Which matrices grow, and which ones move?",
    reading="Above: the Frobenius norm of each matrix; below: the L2 norm of its change since the first checkpoint. "
    "A matrix may go far without growing, by turning.",
    draw=lines("step", "size", "matrix", "measure", titles={"size": "L2 norm"}, labelled=True),
)
def by_matrix(norms: WeightNorms, context: Context) -> Table:
    """One row per (measure, matrix, step); `size` is an L2 norm. Biases and norms' scales are in the total alone."""
    parts = [_of_matrices("size", norms, values) for values in (norms.norm, norms.distance)]
    return from_zero("size", joined(parts, ("norm", DISTANCE), "measure"))


@view(
    question="How far has the weight that moved most gone?",
    reading="The largest change of any one weight of each matrix since the first checkpoint. Curves that leave the "
    "others on a plateau of the loss are matrices that have found the signal.",
    draw=lines("step", "largest_change", "matrix", titles={"largest_change": "largest change"}, labelled=True),
)
def distance(norms: WeightNorms, context: Context) -> Table:
    """One row per (matrix, step); `largest_change` since the first checkpoint, in units of weights (rho)."""
    return from_zero("largest_change", _of_matrices("largest_change", norms, norms.largest_change))


def _of_matrices(name: str, norms: WeightNorms, values: np.ndarray) -> pd.DataFrame:
    """One row per (matrix, step) of [matrix step]; biases and the scales of norms are left out."""
    matrices = weight_matrices(norms)
    if not matrices:
        raise MiscopeError(f"There is no weight matrix among {', '.join(norms.matrix)}.")
    return long(name, values[list(matrices.values())], matrix=list(matrices), step=norms.steps)
