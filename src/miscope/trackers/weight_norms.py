r"""How large the weights are, and how far each matrix has gone from where it began.

The distance from the initialisation, above all that of the one weight that moved most (rho), grows on a plateau of
the loss when learning goes on out of sight. A total norm that falls under weight decay after the training set is
memorised announces grokking.

Maths: $W_t$ is a matrix at step $t$, with entries $w$, and $W_0$ the same at the first checkpoint.
$$\text{norm} = \Bigl(\sum w_t^2\Bigr)^{1/2}, \qquad
\text{distance} = \Bigl(\sum (w_t - w_0)^2\Bigr)^{1/2}, \qquad
\text{largest\_change} = \max \lvert w_t - w_0 \rvert;$$
of `all`, sums and maximum run over the entries of all matrices.

Source: Barak et al. 2022, arXiv:2207.08799 (rho = ||w_t - w_0||_inf); Liu et al. 2023, arXiv:2210.01117
(the norm of all weights decides whether a network generalises).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.core import Checkpoint, Context, Output, OverTraining, place_in_model


@dataclass(frozen=True)
class WeightNorms(Output):
    """All heads of a layer are one matrix; biases and the scales of norms are listed as well."""

    steps: Int[np.ndarray, " n"]
    matrix: tuple[str, ...]  # `all`, then as in the weights, in the order of the forward pass: `blocks.0.mlp.W_in`
    norm: Float[np.ndarray, "matrix n"]  # Frobenius norm; that of `all` squared is the sum of the others' squares
    distance: Float[np.ndarray, "matrix n"]  # L2 norm of what changed since the first checkpoint, the initialisation
    largest_change: Float[np.ndarray, "matrix n"]  # L-infinity: the change of the one weight that moved most (rho)


def weight_norms(checkpoints: Mapping[int, Checkpoint], context: Context) -> WeightNorms:
    """In float64; of the checkpoints only the first and one more are held at a time."""
    first = next(iter(checkpoints.values())).weights
    names = sorted(first, key=place_in_model)
    found = np.array([[_sizes(c.weights[name], first[name]) for name in names] for c in checkpoints.values()])
    norm, distance, largest = np.moveaxis(found, 2, 0).swapaxes(1, 2)
    return WeightNorms(
        steps=np.array(tuple(checkpoints), dtype=np.int64),
        matrix=("all", *names),
        norm=np.vstack([np.linalg.norm(norm, axis=0), norm]),
        distance=np.vstack([np.linalg.norm(distance, axis=0), distance]),
        largest_change=np.vstack([largest.max(axis=0), largest]),
    )


def _sizes(weight: np.ndarray, before: np.ndarray) -> tuple[float, float, float]:
    """Norm, distance and largest change of one matrix."""
    now = weight.astype(np.float64).ravel()
    change = now - before.ravel()
    return float(np.linalg.norm(now)), float(np.linalg.norm(change)), float(np.abs(change).max())


analyzer = OverTraining(weight_norms, reads_weights=True)
