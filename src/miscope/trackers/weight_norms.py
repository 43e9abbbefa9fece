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

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.core import Checkpoint, Context, place_in_model
from miscope.instrument import Output, OverTraining


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
    names = sorted(first, key=place_in_model)
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


def measures(found: WeightNorms) -> dict[str, np.ndarray]:
    """The size of all weights, and of each matrix."""
    each = zip(found.matrix[1:], found.norm[1:], strict=True)
    return {"norm": found.norm[0]} | {f"norm of {matrix}": of for matrix, of in each}


analyzer = OverTraining(weight_norms, reads_weights=True, measures=measures)
