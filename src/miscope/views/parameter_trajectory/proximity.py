"""Shows whether groups of matrices follow the same path in time."""

from itertools import combinations

import numpy as np
import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.shared.tidy import long, once

from miscope.core import Context, View
from miscope.maths.checkpoints import time_weights
from miscope.maths.decomposition import centred_gram, linear_cka
from miscope.maths.null_distributions import RARE
from miscope.maths.walks import proximity, random_walks
from miscope.renderers import heatmap
from miscope.views.shared import nulls
from miscope.views.shared.trajectory import sideways, walked


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per pair of groups; `proximity` is the linear CKA of their paths, in [0, 1]."""
    found = long("proximity", trajectory.proximity, group=trajectory.group, other=trajectory.group)
    found.attrs |= {"limits": {"proximity": (0.0, 1.0)}, "titles": {"group": " ", "other": " "}, "when": ""}
    found.attrs["null"] = _verdict(trajectory)
    return found


def _verdict(trajectory: ParameterTrajectory) -> str:
    """The mean over pairs of groups: walks that start together and move at the same times are near as well."""
    pairs = list(combinations(range(1, len(trajectory.group)), 2))
    if not pairs:
        return nulls.none("there is one group of matrices alone")
    found = float(np.mean([trajectory.proximity[pair] for pair in pairs]))
    source = "99 % of independent random walks of the same moves"
    return nulls.against("mean proximity of two groups", found, _of_walks(trajectory), source)


@once
def _of_walks(trajectory: ParameterTrajectory) -> float:
    """What independent walks of the groups' moves reach; the more dimensions they have, the surer they are near."""
    groups, weights = range(1, len(trajectory.group)), time_weights(trajectory.steps)
    paths = [sideways(trajectory, g).moves for g in groups]
    drawn = zip(*(random_walks(m, trajectory.radial[g], g) for m, g in zip(paths, groups, strict=True)), strict=True)
    means = [np.mean([proximity(a, b, weights) for a, b in combinations(walks, 2)]) for walks in drawn]
    grams = [_gram(m, trajectory.radial[g], weights) for m, g in zip(paths, groups, strict=True)]
    sure = np.mean([linear_cka(*two) for two in combinations(grams, 2)])
    return max(float(np.quantile(means, 1 - RARE)), float(sure))


def _gram(moves: np.ndarray, radial: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of a walk in so many dimensions that no two of its moves have a direction in common."""
    squares, root = walked(moves) ** 2, np.sqrt(weights)
    gram = centred_gram(np.minimum.outer(squares, squares) + np.outer(radial, radial), weights)
    return root[:, None] * gram * root


view = View(
    question="Do the parts of the network move together?",
    reading="1: two groups of matrices change at the same times in the same proportions; 0: their paths have "
    "nothing in common. `all` contains the others.",
    needs=analyzer,
    table=table,
    draw=heatmap("other", "group", "proximity", is_square=True, height=340, titles={"proximity": "linear CKA"}),
)
