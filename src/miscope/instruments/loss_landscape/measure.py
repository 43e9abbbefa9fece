r"""The rise of the train loss around the network in random directions, and the extremes and trace of its Hessian.

The directions are unit vectors over all parameters, drawn once by the seed, the same at every checkpoint. Nearby, the
loss rises by distance^2 trace / (2 parameters) on average; where it rises more, it is not a parabola. A minimum has a
smallest eigenvalue near 0; a value well below 0 is a saddle. Distances are lengths in the weights, and weights shrink
under weight decay: a flatter landscape of smaller weights need not be a flatter function.

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

from miscope.instruments._shared.guessing import z_score
from miscope.instruments._shared.nulls import MARGIN, NO_START, against_untrained
from miscope.maths.landscape import extreme_eigenvalues, trace
from miscope.maths.null_distributions import multiple_of_noise
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, Null, Output, PerCheckpoint

AT_ONCE = 10  # directions that lie in memory together
TOLERANCE = 0.01
SHARPER = 2 * MARGIN  # the sharpest of eight small untrained networks has 1.8 times the flattest's top eigenvalue


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
    rises = [
        np.stack([network.losses(start + np.float32(distance) * block, inputs) for distance in distances], axis=1)
        for block in _unit_directions(directions, start.size, seed)
    ]
    hessian = network.hessian(inputs)
    ends = extreme_eigenvalues(hessian, start.size, tolerance=TOLERANCE, most_products=products, seed=seed)
    bend = trace(hessian, start.size, n_vectors=trace_vectors, seed=seed)
    return LossLandscape(
        n_inputs=len(inputs),
        loss=loss,
        n_parameters=start.size,
        weight_norm=float(np.linalg.norm(start.astype(np.float64))),
        distance=np.array(distances, dtype=np.float64),
        rise=np.concatenate(rises) - loss,
        top_eigenvalue=ends.largest,
        top_error=ends.largest_error,
        least_eigenvalue=ends.least,
        least_error=ends.least_error,
        is_converged=ends.largest_error <= TOLERANCE * abs(ends.largest),
        n_products=ends.n_products,
        trace=bend.value,
        trace_error=bend.standard_error,
    )


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


def measures(output: LossLandscape) -> dict[str, float]:
    """How sharp the minimum is, near by and far out."""
    rise = float(np.median(output.rise[:, -1]))
    return {"top_eigenvalue": output.top_eigenvalue, "trace": output.trace, "rise_far_out": rise}


def mean_rise(landscape: Artifact[LossLandscape]) -> Float[np.ndarray, "step distance"]:
    """In nats, over directions."""
    return landscape.stack("rise").mean(axis=1)


def rise_over_parabola(landscape: Artifact[LossLandscape]) -> Float[np.ndarray, "step distance"]:
    """Of the mean rise to what the Hessian's trace says, distance^2 trace / (2 parameters); NaN where one falls."""
    rise, first = mean_rise(landscape), landscape[landscape.steps[0]]
    expected = first.distance**2 * landscape.stack("trace")[:, None] / (2 * first.n_parameters)
    return np.divide(rise, expected, out=np.full_like(rise, np.nan), where=(rise > 0) & (expected > 0))


def nulls(landscape: Artifact[LossLandscape], context: Context) -> Iterator[Null]:
    """The landscape around the untrained network, by the errors that both have; of directions, a slope as well."""
    yield _of_rise(landscape).of("overview")
    yield _of_bowl(landscape).of("bowl")
    yield against_untrained("depth below 0, with its error,", landscape, _depth, is_lower=True).of("saddle")
    peak = landscape.steps[int(landscape.stack("top_eigenvalue").argmax())]
    statistic = f"top eigenvalue, at its maximum (step {peak:,}),"
    null = against_untrained(statistic, landscape, lambda output: output.top_eigenvalue, peak, margin=SHARPER)
    yield null.of("sharpness")
    yield from (_of_directions(landscape, step).of("directions", step) for step in landscape)


def _of_rise(landscape: Artifact[LossLandscape]) -> Null:
    """Whether the mean direction ever rises by more than single ones do around the untrained network."""
    if landscape.steps[0] != 0:
        return Null.absent(NO_START)
    rise, start = mean_rise(landscape), landscape[0]
    at, n = int(start.distance.argmax()), len(start.rise)
    peak = int(rise[:, at].argmax())
    one = _standard_error(start)[at] * np.sqrt(n + 1)  # the error of a prediction of one more direction
    threshold, source = rise[0, at] + multiple_of_noise(n - 1) * one, "99 % of directions around the untrained network"
    statistic = f"rise at distance {start.distance[at]:g}, at its maximum (step {landscape.steps[peak]:,}),"
    return Null(statistic, float(rise[peak, at]), float(threshold), source)


def _of_bowl(landscape: Artifact[LossLandscape]) -> Null:
    """Whether the last step is further from a parabola than the untrained network, at the longest distance."""
    if landscape.steps[0] != 0:
        return Null.absent(NO_START)
    start, end = landscape[0], landscape.last
    at = int(start.distance.argmax())
    before, after = (float(ratio) for ratio in rise_over_parabola(landscape)[[0, -1], at])
    if not np.isfinite([before, after]).all():
        return Null.absent("at the first or the last step the loss does not rise, or its Hessian's trace is below 0")
    error = np.hypot(_relative_error(start, at), _relative_error(end, at))
    threshold = max(1.0, before) * float(1 + multiple_of_noise(len(start.rise) - 1) * error)
    statistic = f"rise at distance {start.distance[at]:g}, divided by that of the parabola"
    return Null(statistic, after, threshold, "the untrained network, at the 99 % end of their errors")


def _standard_error(output: LossLandscape) -> Float[np.ndarray, " distance"]:
    """Of the mean rise over directions, in nats."""
    return output.rise.std(axis=0, ddof=1) / np.sqrt(len(output.rise))


def _relative_error(output: LossLandscape, at: int) -> float:
    """Of the rise over that of the parabola: by the directions and by the trace's random vectors."""
    by_directions = _standard_error(output)[at] / output.rise.mean(axis=0)[at]
    return float(np.hypot(by_directions, output.trace_error / output.trace))


def _depth(output: LossLandscape) -> float:
    """How far below 0 the least eigenvalue may lie, as a part of the top one."""
    return (output.least_error - output.least_eigenvalue) / abs(output.top_eigenvalue or np.nan)


def _of_directions(landscape: Artifact[LossLandscape], step: int) -> Null:
    """Whether more directions lead up than at a slope, where half do, and than in the untrained network."""
    first, up = (landscape[at].rise > 0 for at in (landscape.steps[0], step))
    slope, source = 0.5, "a slope, in 99 % of draws"
    if landscape.steps[0] == 0:
        slope, source = max(slope, float(first.mean())), f"the untrained network or {source}"
    luck = z_score() * np.sqrt(2 * 0.25 / len(first))  # by which two shares of so many differ at most
    threshold = min(1.0, float(slope + luck))
    return Null(
        "share of directions and distances at which the loss rises", float(up.mean()), threshold, source, unit="share"
    )


instrument = PerCheckpoint(loss_landscape, needs=("gradients",), checkpoints=10, measures=measures, nulls=nulls)
