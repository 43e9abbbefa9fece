r"""How large the weights are, and how far each matrix has gone from where it began.

The distance from the initialisation, above all that of the one weight that moved most (rho), grows on a plateau of
the loss when learning goes on out of sight. A total norm that falls under weight decay after the training set is
memorised announces grokking.

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
from miscope.instruments._shared.matrices import kinds
from miscope.maths.null_distributions import RARE
from miscope.plugin import Checkpoint, Context, Null, Output, OverTraining


@dataclass(frozen=True)
class WeightNorms(Output):
    """All heads of a layer are one matrix; biases and the scales of norms are listed as well."""

    steps: Int[np.ndarray, " n"]
    matrix: tuple[str, ...]  # `all`, then as in the weights, in the order of the forward pass: `blocks.0.mlp.W_in`
    n_weights: Int[np.ndarray, " matrix"]
    norm: Float[np.ndarray, "matrix n"]  # Frobenius norm; that of `all` squared is the sum of the others' squares
    distance: Float[np.ndarray, "matrix n"]  # L2 norm of what changed since the first checkpoint, the initialisation
    largest_change: Float[np.ndarray, "matrix n"]  # L-infinity: the change of the one weight that moved most (rho)
    walk: Float[np.ndarray, "matrix n"]  # the distance of a random walk with the same changes between checkpoints


def weight_norms(checkpoints: Mapping[int, Checkpoint], context: Context) -> WeightNorms:
    """In float64; of the checkpoints only the first, one more and the one before it are held at a time."""
    first = before = next(iter(checkpoints.values())).weights
    names = sorted(first, key=weight_order)
    rows = []
    for now in (checkpoint.weights for checkpoint in checkpoints.values()):
        rows.append([_sizes(now[name], first[name], before[name]) for name in names])
        before = now
    norm, distance, largest, moved = np.moveaxis(np.array(rows), 2, 0).swapaxes(1, 2)
    walk = np.sqrt(np.cumsum(moved**2, axis=1))
    n_weights = [first[name].size for name in names]
    return WeightNorms(
        steps=np.array(tuple(checkpoints), dtype=np.int64),
        matrix=("all", *names),
        n_weights=np.array([sum(n_weights), *n_weights]),
        norm=np.vstack([np.linalg.norm(norm, axis=0), norm]),
        distance=np.vstack([np.linalg.norm(distance, axis=0), distance]),
        largest_change=np.vstack([largest.max(axis=0), largest]),
        walk=np.vstack([np.linalg.norm(walk, axis=0), walk]),
    )


def _sizes(weight: np.ndarray, first: np.ndarray, before: np.ndarray) -> tuple[float, ...]:
    """Norm, distance, largest change, and the size of the change since the checkpoint before."""
    now = weight.astype(np.float64).ravel()
    change, moved = now - first.ravel(), now - before.ravel()
    return tuple(map(float, (np.linalg.norm(now), np.linalg.norm(change), np.abs(change).max(), np.linalg.norm(moved))))


def measures(output: WeightNorms) -> dict[str, np.ndarray]:
    """The size of all weights, and of each matrix."""
    each = zip(output.matrix[1:], output.norm[1:], strict=True)
    return {"norm": output.norm[0]} | {f"norm of {matrix}": of for matrix, of in each}


def weight_matrices(output: WeightNorms) -> dict[str, int]:
    """The matrices by kind, as indices; biases and the scales of norms are left out."""
    at = [i for i, name in enumerate(output.matrix) if name.rpartition(".")[2].startswith("W_")]
    return dict(zip(kinds(tuple(output.matrix[i] for i in at)), at, strict=True))


# ---------------------------------------------------------------- what chance would show


def nulls(norms: WeightNorms, context: Context) -> Iterator[Null]:
    """Random walks of the same steps, at the last of them."""
    of_all = _furthest_walk(norms, [0], context)
    yield _furthest("distance from initialisation", ("all",), norms.distance[:1, -1], of_all).of("overview")
    names, at = tuple(weight_matrices(norms)), list(weight_matrices(norms).values())
    if at:
        walk, n = _furthest_walk(norms, at, context), norms.n_weights[at]
        yield _furthest("distance of {}", names, norms.distance[at, -1], walk).of("by_matrix")
        walk = walk * _largest_of(n) / np.sqrt(n)
        yield _furthest("largest change of {}", names, norms.largest_change[at, -1], walk).of("distance")


def _furthest(
    statistic: str, names: tuple[str, ...], ends: Float[np.ndarray, " shown"], walk: Float[np.ndarray, " shown"]
) -> Null:
    """Of the matrix that has gone furthest beyond its walk at the last step; its name goes into `statistic`."""
    if not walk.any():
        return Null.absent("a path takes three checkpoints that differ, or more")
    i = int(np.argmax(np.divide(ends, walk, out=np.zeros_like(ends), where=walk > 0)))
    source = "99 % of random walks of the same steps"  # which do not shrink: weight decay alone passes
    return Null(statistic.format(names[i]), float(ends[i]), float(walk[i]), source)


def _furthest_walk(norms: WeightNorms, at: list[int], context: Context) -> Float[np.ndarray, " shown"]:
    """The distance that random walks of the same steps keep to with a probability of 99 %, in all the matrices; or 0.

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


def _largest_of(n: Int[np.ndarray, " shown"]) -> Float[np.ndarray, " shown"]:
    """The size that none of n standard normal numbers reaches with a probability of 99 %, in all the matrices."""
    chance = RARE / len(n)
    return np.array([NormalDist().inv_cdf((1 + (1 - chance) ** (1 / int(one))) / 2) for one in n])


instrument = OverTraining(weight_norms, reads_weights=True, measures=measures, nulls=nulls)
