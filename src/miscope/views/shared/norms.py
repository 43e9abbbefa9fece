"""One number per weight matrix as curves over training."""

from statistics import NormalDist
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from miscope.core import Context, MiscopeError
from miscope.maths.null_distributions import RARE
from miscope.trackers.weight_norms import WeightNorms
from miscope.views.shared import nulls
from miscope.views.shared.matrices import kinds
from miscope.views.shared.tidy import long

WALK = "random walk of the same steps"


def of_matrices(norms: WeightNorms, field: str) -> pd.DataFrame:
    """One row per (matrix, step) of a field of the tracker; biases and the scales of norms are left out."""
    shown = _shown(norms)
    return long(field, getattr(norms, field)[shown], matrix=_names(norms, shown), step=norms.steps)


def verdict(norms: WeightNorms, field: Literal["distance", "largest_change"], context: Context) -> str:
    """The matrix that has gone furthest at the last step, against a random walk of the same steps."""
    shown = _shown(norms)
    null = _furthest_walk(norms, shown, context)
    if field == "largest_change":
        null = null * _largest_of(norms.n_weights[shown]) / np.sqrt(norms.n_weights[shown])
    return _against(f"{field.replace('_', ' ')} of {{}}", _names(norms, shown), getattr(norms, field)[shown, -1], null)


def verdict_on_all(norms: WeightNorms, context: Context) -> str:
    """The distance of all weights together, against a random walk of the same steps."""
    null = _furthest_walk(norms, [0], context)
    return _against("distance from initialisation", ("all",), norms.distance[:1, -1], null)


def _furthest_walk(norms: WeightNorms, shown: list[int], context: Context) -> Float[np.ndarray, " matrix"]:
    """The distance that random walks of the same steps keep to with a probability of 99 %, in all the matrices; or 0.

    The squared distance varies by 2 x step . way so far. The noise of a training lies in about as many directions as
    there are answers, and with that variance it has a gamma distribution, exact for steps that are equal.

    Source: Gur-Ari et al. 2018, arXiv:1812.04754 (directions of gradients); Wilson and Hilferty 1931,
    doi:10.1073/pnas.17.12.684 (the quantile).
    """
    squares = norms.walk[shown] ** 2
    n_directions = np.minimum(len(np.unique(context.probe.targets)), norms.n_weights[shown])
    variance = 4 * (np.diff(squares, axis=1) * squares[:, :-1]).sum(axis=1) / n_directions
    if not variance.any():
        return np.zeros(len(shown))
    mean = squares[:, -1]
    relative = np.divide(variance, 9 * mean**2, out=np.zeros_like(mean), where=mean > 0)
    z = NormalDist().inv_cdf(1 - RARE / len(shown))
    return np.sqrt(mean * (1 - relative + z * np.sqrt(relative)) ** 3)


def _largest_of(n: Int[np.ndarray, " matrix"]) -> Float[np.ndarray, " matrix"]:
    """The size that none of n standard normal numbers reaches with a probability of 99 %, in all the matrices."""
    chance = RARE / len(n)
    return np.array([NormalDist().inv_cdf((1 + (1 - chance) ** (1 / int(one))) / 2) for one in n])


def _against(
    what: str, names: tuple[str, ...], found: Float[np.ndarray, " matrix"], null: Float[np.ndarray, " matrix"]
) -> str:
    if not null.any():
        return nulls.none("a path takes three checkpoints that differ, or more")
    i = int(np.argmax(np.divide(found, null, out=np.zeros_like(found), where=null > 0)))
    return nulls.against(
        what.format(names[i]), float(found[i]), float(null[i]), "99 % of random walks of the same steps"
    )


def _shown(norms: WeightNorms) -> list[int]:
    shown = [i for i, name in enumerate(norms.matrix) if name.rpartition(".")[2].startswith("W_")]
    if not shown:
        raise MiscopeError(f"There is no weight matrix among {', '.join(norms.matrix)}.")
    return shown


def _names(norms: WeightNorms, shown: list[int]) -> tuple[str, ...]:
    return kinds(tuple(norms.matrix[i] for i in shown))
