r"""How large the weights are, and how far each matrix has moved from its start.

The distance from the initialisation, above all that of the one weight that moved most (rho), grows on a plateau of the
loss when learning continues without lowering the loss. If the total norm falls under weight decay after the training
set is memorised, grokking follows.

Maths: $W_t$ is a matrix at step $t$, with entries $w$, and $W_0$ the same at the first checkpoint; $s'$ is the
checkpoint before $s$.
$$\text{norm} = \Bigl(\sum w_t^2\Bigr)^{1/2}, \qquad
\text{distance} = \Bigl(\sum (w_t - w_0)^2\Bigr)^{1/2}, \qquad
\text{largest\_change} = \max \lvert w_t - w_0 \rvert, \qquad
\text{walk} = \Bigl(\sum_{s \le t} \sum (w_s - w_{s'})^2\Bigr)^{1/2};$$
of `all`, sums and maximum run over the entries of all matrices. `walk` is the root mean square distance of a random
walk of the same steps: what `distance` would be if no change between checkpoints had to do with those before.

Source: Barak et al. 2022, arXiv:2207.08799 (rho = ||w_t - w_0||_inf); Liu et al. 2023, arXiv:2210.01117
(the norm of all weights decides whether a network generalises).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from miscope.core import weight_order
from miscope.instruments._shared.sites import matrix_kinds
from miscope.maths.null_distributions import RARE
from miscope.plugin import Checkpoint, Context, Null, Output, OverTraining

PerMatrix = Float[np.ndarray, " shown"]
Curves = Float[np.ndarray, "matrix n"]


@dataclass(frozen=True)
class WeightNorms(Output):
    """All heads of a layer are one matrix; biases and the scales of norms are listed as well."""

    steps: Int[np.ndarray, " n"]
    matrix: tuple[str, ...]  # `all`, then as in the weights, in the order of the forward pass: `blocks.0.mlp.W_in`
    n_weights: Int[np.ndarray, " matrix"]
    norm: Curves  # Frobenius norm; that of `all` squared is the sum of the others' squares
    distance: Curves  # L2 norm of what changed since the first checkpoint, the initialisation
    largest_change: Curves  # L-infinity: the change of the one weight that moved most (rho)
    walk: Curves  # the distance of a random walk with the same changes between checkpoints


def weight_norms(checkpoints: Mapping[int, Checkpoint], context: Context) -> WeightNorms:
    """In float64; of the checkpoints only the first, one more and the one before it are held at a time."""
    first = before = next(iter(checkpoints.values())).weights
    names = sorted(first, key=weight_order)
    rows = []
    for now in (checkpoint.weights for checkpoint in checkpoints.values()):
        rows.append([_sizes(now[name], first[name], before[name]) for name in names])
        before = now
    norm, distance, largest, moved = np.moveaxis(np.array(rows), 2, 0).swapaxes(1, 2)
    sizes = {"norm": norm, "distance": distance, "walk": np.sqrt(np.cumsum(moved**2, axis=1))}
    n_weights = [first[name].size for name in names]
    return WeightNorms(
        steps=np.array(tuple(checkpoints), dtype=np.int64),
        matrix=("all", *names),
        n_weights=np.array([sum(n_weights), *n_weights]),
        largest_change=np.vstack([largest.max(axis=0), largest]),
        **{name: np.vstack([np.linalg.norm(of, axis=0), of]) for name, of in sizes.items()},
    )


def _sizes(weight: np.ndarray, first: np.ndarray, before: np.ndarray) -> tuple[float, ...]:
    """Norm, distance, largest change, and the size of the change since the checkpoint before."""
    now = weight.astype(np.float64).ravel()
    change, moved = now - first.ravel(), now - before.ravel()
    numbers = (np.linalg.norm(now), np.linalg.norm(change), np.abs(change).max(), np.linalg.norm(moved))
    return tuple(map(float, numbers))


def measures(output: WeightNorms) -> dict[str, np.ndarray]:
    """The size of all weights, and of each matrix."""
    return dict(zip(("norm", *(f"norm of {matrix}" for matrix in output.matrix[1:])), output.norm, strict=True))


def weight_matrices(output: WeightNorms) -> dict[str, int]:
    """The matrices by kind, as indices; biases and the scales of norms are left out."""
    at = [i for i, name in enumerate(output.matrix) if name.rpartition(".")[2].startswith("W_")]
    return dict(zip(matrix_kinds(tuple(output.matrix[i] for i in at)), at, strict=True))


def nulls(norms: WeightNorms, context: Context) -> Iterator[Null]:
    """Random walks of the same steps, at the last of them."""
    of_all = _furthest_walk(norms, [0], context)
    yield _furthest("distance from initialisation", ("all",), norms.distance[:1, -1], of_all).of("overview")
    names, at = tuple(weight_matrices(norms)), list(weight_matrices(norms).values())
    if at:
        walk, n = _furthest_walk(norms, at, context), norms.n_weights[at]
        yield _furthest("distance of {}", names, norms.distance[at, -1], walk).of("by_matrix")
        # what none of n standard normal numbers reaches with a probability of 99 %, in all the matrices
        largest = [NormalDist().inv_cdf((1 + (1 - RARE / len(n)) ** (1 / one)) / 2) for one in n.tolist()]
        walk = walk * np.array(largest) / np.sqrt(n)
        yield _furthest("largest change of {}", names, norms.largest_change[at, -1], walk).of("distance")


def _furthest(statistic: str, names: tuple[str, ...], ends: PerMatrix, walk: PerMatrix) -> Null:
    """Of the matrix that has gone furthest beyond its walk at the last step; its name goes into `statistic`."""
    if not walk.any():
        return Null.absent("a path takes three checkpoints that differ, or more")
    i = int(np.argmax(np.divide(ends, walk, out=np.zeros_like(ends), where=walk > 0)))
    source = "99 % of random walks with the same step lengths"  # which do not shrink: weight decay alone passes
    return Null(statistic.format(names[i]), float(ends[i]), float(walk[i]), source)


def _furthest_walk(norms: WeightNorms, at: list[int], context: Context) -> PerMatrix:
    """The distance that random walks with steps of the same lengths stay below with a probability of 99 %, or 0.

    The squared distance varies by 2 x step . way so far. The noise of a training lies in about as many directions as
    there are answers, and with that variance it has a gamma distribution, exact for steps that are equal.

    Source: Gur-Ari et al. 2018, arXiv:1812.04754 (directions of gradients); Wilson and Hilferty 1931,
    doi:10.1073/pnas.17.12.684 (the quantile).
    """
    squares = norms.walk[at] ** 2
    n_directions = np.minimum(len(np.unique(context.probe.targets)), norms.n_weights[at])
    variance = 4 * (np.diff(squares, axis=1) * squares[:, :-1]).sum(axis=1) / n_directions
    if not variance.any():
        return np.zeros(len(at))
    mean = squares[:, -1]
    relative = np.divide(variance, 9 * mean**2, out=np.zeros_like(mean), where=mean > 0)
    z = NormalDist().inv_cdf(1 - RARE / len(at))
    return np.sqrt(mean * (1 - relative + z * np.sqrt(relative)) ** 3)


instrument = OverTraining(weight_norms, reads_weights=True, measures=measures, nulls=nulls)
