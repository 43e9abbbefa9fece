r"""How the train loss rises around the network in random directions, and how it bends: its Hessian's ends and trace.

The directions are unit vectors over all parameters, drawn once by the seed and the same at every checkpoint. Close by,
the loss rises by distance^2 trace / (2 parameters) on average; where it rises by more, the bowl is not a parabola. A
positive-definite minimum has a least eigenvalue near 0; one well below 0 is a saddle. All are lengths in the weights,
and weights shrink under decay: a flatter landscape of smaller weights need not be a flatter function.

Maths: $L$ is the mean train loss, $\theta$ the $P$ parameters, $H$ the Hessian of $L$ at $\theta$, $u$ a direction of
length 1 at a `distance` $\delta$.
$$\text{rise}(u, \delta) = L(\theta + \delta u) - L(\theta), \qquad
\text{trace} = \tfrac{1}{n} \sum_{i=1}^{n} z_i^\top H z_i, \qquad
\text{top\_error} = \lVert H v - \lambda v \rVert,$$
$z_i$ vectors of random signs, and `trace_error` the standard deviation of $z_i^\top H z_i$ over $\sqrt n$; $\lambda$
and the unit vector $v$ are Lanczos' largest eigenvalue (`top_eigenvalue`) and its vector, and so for the least.

Source: Li et al. 2018, arXiv:1712.09913, sections 3 and 4 (random directions, and what scale does to them: theirs are
scaled filter by filter, ours are not); Sagun et al. 2016, arXiv:1611.07476 (the Hessian's spectrum in training);
Ghorbani et al. 2019, arXiv:1901.10159, section 2 (Lanczos on products with the Hessian).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from miscope.core import Checkpoint, Context, MiscopeError
from miscope.instrument import GRADIENTS, Output, PerCheckpoint
from miscope.maths.curvature import extreme_eigenvalues, trace

AT_ONCE = 10  # directions that lie in memory together


@dataclass(frozen=True)
class LossLandscape(Output):
    """On train inputs that ask for about `answers` answers, the same at every checkpoint; weight decay left out."""

    n_inputs: int
    loss: float  # at the network itself, in nats
    n_parameters: int
    weight_norm: float  # of all parameters, to hold the distances against
    distance: Float[np.ndarray, " distance"]
    rise: Float[np.ndarray, "direction distance"]  # the loss there less the loss at the network, in nats
    top_eigenvalue: float
    top_error: float  # how far it may be from an eigenvalue: a hundredth of it where Lanczos converged
    least_eigenvalue: float
    least_error: float
    is_converged: bool  # of the top eigenvalue
    n_products: int  # with the Hessian, until then
    trace: float
    trace_error: float  # its standard error over the random vectors


def loss_landscape(
    checkpoint: Checkpoint,
    context: Context,
    *,
    directions: int = 50,
    distances: tuple[float, ...] = (1.0, 3.0, 10.0),
    answers: int = 512,
    products: int = 30,
    trace_vectors: int = 8,
    seed: int = 0,
) -> LossLandscape:
    """`answers` 0 takes all train inputs; `products` is the most that Lanczos may make."""
    _check(directions, distances, answers, products, trace_vectors)
    network = checkpoint.network
    inputs, start = network.train_inputs(answers, seed), network.weights
    loss = float(network.losses(start[None], inputs)[0])
    blocks = (
        np.stack([network.losses(start + np.float32(distance) * block, inputs) for distance in distances], axis=1)
        for block in _unit_directions(directions, start.size, seed)
    )
    hessian = network.hessian(inputs)
    ends = extreme_eigenvalues(hessian, start.size, tolerance=TOLERANCE, most_products=products, seed=seed)
    bend = trace(hessian, start.size, n_vectors=trace_vectors, seed=seed)
    return LossLandscape(
        n_inputs=len(inputs),
        loss=loss,
        n_parameters=start.size,
        weight_norm=float(np.linalg.norm(start.astype(np.float64))),
        distance=np.array(distances, dtype=np.float64),
        rise=np.concatenate(list(blocks)) - loss,
        top_eigenvalue=ends.largest,
        top_error=ends.largest_error,
        least_eigenvalue=ends.least,
        least_error=ends.least_error,
        is_converged=ends.largest_error <= TOLERANCE * abs(ends.largest),
        n_products=ends.n_products,
        trace=bend.value,
        trace_error=bend.standard_error,
    )


TOLERANCE = 0.01


def _check(directions: int, distances: tuple[float, ...], answers: int, products: int, trace_vectors: int) -> None:
    if not distances or min(distances) <= 0:
        raise MiscopeError(f"`distances` = {list(distances)}; allowed: numbers above 0, at least one.")
    least = {"directions": (directions, 2), "products": (products, 3), "trace_vectors": (trace_vectors, 2)}
    for name, (value, allowed) in (least | {"answers": (answers, 0)}).items():
        if value < allowed:
            raise MiscopeError(f"`{name}` = {value}; allowed: at least {allowed}.")


def _unit_directions(n: int, size: int, seed: int) -> Iterator[Float32[np.ndarray, "some parameter"]]:
    """Blocks of random vectors of length 1, evenly over all directions."""
    rng = np.random.default_rng(seed)
    for first in range(0, n, AT_ONCE):
        block = rng.standard_normal((min(AT_ONCE, n - first), size), dtype=np.float32)
        yield block / np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True).astype(np.float32)


def measures(found: LossLandscape) -> dict[str, float]:
    """How sharp the minimum is, near by and far out."""
    rise = float(np.median(found.rise[:, -1]))
    return {"top_eigenvalue": found.top_eigenvalue, "trace": found.trace, "rise_far_out": rise}


analyzer = PerCheckpoint(loss_landscape, needs=(GRADIENTS,), checkpoints=10, measures=measures)
