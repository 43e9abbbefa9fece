r"""The paths of the right answers' centroids through one fixed plane, and their speed.

The axes are fitted once to all checkpoints, so that nothing turns or flips between steps: a network that generalises
spreads the answers out from one point. Motion common to all answers is removed and reported separately, because it
separates none of them. Where a checkpoint's centroids lie outside the axes, its `fit` is low.

Maths: $\mu_r(t)$ is the centroid of answer $r$ of $C$ at step $t$, $m(t)$ the mean of all, $y_r = \mu_r - m$. The axes
$u_i$ are the eigenvectors, to the eigenvalues $\lambda_i$, of
$$\Sigma = \sum_t w_t \sum_r y_r(t) \, y_r(t)^\top, \qquad
\text{explained\_variance}_i = \frac{\lambda_i}{\sum_j \lambda_j}, \qquad
\text{coordinate}_{r,i}(t) = y_r(t) \cdot u_i,$$
$w_t$ the mean of the gaps beside $t$, over the mean of all $w$. `fit` is
$\sum_{r,i} \text{coordinate}^2 / \sum_r \lVert y_r \rVert^2$. If no two checkpoints had a direction in common, the axes
would be those of the largest $w_t \, l_j(t)$, $l_j(t)$ the variance of checkpoint $t$ along its own component $j$; it
would have the $m$ of them that are its own, with a share $s$ of its variance, and of the rest what chance gives it of
$d$ dimensions: `chance_fit` is $s + (1 - s) (6 - m) / d$. Between neighbouring checkpoints $t < t'$,
$$\text{speed} = \frac{1}{t' - t} \Bigl(\tfrac{1}{C} \sum_r \lVert y_r(t') - y_r(t) \rVert^2\Bigr)^{1/2}, \qquad
\text{centre\_speed} = \frac{\lVert m(t') - m(t) \rVert}{t' - t}.$$

Source: ours; the pooled covariance is that of common principal components, Flury 1984, JASA 79(388). Checkpoints that
are uneven in time are weighted by the time they stand for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.instruments._shared.nulls import MARGIN, NO_START, of_moves, raised, with_margin
from miscope.instruments._shared.sites import layer_of, options_of
from miscope.instruments.representation_geometry.measure import RepresentationGeometry
from miscope.instruments.representation_geometry.measure import instrument as geometry_instrument
from miscope.maths.walks import time_weights
from miscope.plugin import Artifact, Context, NotApplicable, Null, Output, OverTraining

N_COMPONENTS = 6
FARTHER = MARGIN**2  # two matrices or more make the distance, and each may be larger
WALK = 4.0  # by how much the odds of the share rise at most where layouts walk at random, be it slowly or fast


@dataclass(frozen=True)
class CentroidTrajectory(Output):
    steps: Int[np.ndarray, " n"]
    site: tuple[str, ...]  # hook names, in the order of the forward pass
    label: Int[np.ndarray, " cls"]  # the right answer
    coordinate: Float32[np.ndarray, "site n cls component"]  # about each checkpoint's centre; the largest is positive
    explained_variance: Float[np.ndarray, "site component"]  # share of the pooled variance; NaN: nothing moves
    fit: Float[np.ndarray, "site n"]  # share of a checkpoint's own variance inside the components; NaN: one point
    chance_fit: Float[np.ndarray, "site n"]  # if no two checkpoints had a direction in common
    speed: Float[np.ndarray, "site interval"]  # root mean square over answers, about the centre, per step
    centre_speed: Float[np.ndarray, "site interval"]  # of the mean of all centroids, per step


def centroid_trajectory(geometry: Artifact[RepresentationGeometry], context: Context) -> CentroidTrajectory:
    """Each site by itself, in its own axes."""
    steps = np.array(geometry.steps, dtype=np.int64)
    if len(steps) < 2:
        raise NotApplicable("A path needs two checkpoints at least.")
    first = geometry[geometry.steps[0]]
    sites = np.split(geometry.stack("centroid"), np.cumsum(first.width)[:-1], axis=2)
    paths = [_path(centroids.astype(np.float64), steps) for centroids in sites]
    by_field = {name: np.stack([path[name] for path in paths]) for name in paths[0]}
    return CentroidTrajectory(steps=steps, site=first.site, label=first.label, **by_field)


def _path(centroids: Float[np.ndarray, "n cls dim"], steps: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Of one site, the fields of CentroidTrajectory."""
    weights, gaps = time_weights(steps), np.diff(steps)
    centre = centroids.mean(axis=1)
    clouds = centroids - centre[:, None]
    size = (clouds**2).sum(axis=(1, 2))
    size[size <= 1e-12 * (centroids**2).sum(axis=(1, 2))] = 0  # all one point, up to rounding
    clouds *= (size > 0)[:, None, None]
    shares, axes = _axes(clouds, weights)
    coordinate = clouds @ axes
    inside = (coordinate**2).sum(axis=(1, 2))
    return {
        "coordinate": coordinate.astype(np.float32),
        "explained_variance": shares,
        "fit": np.divide(inside, size, out=np.full(len(size), np.nan), where=size > 0),
        "chance_fit": np.where(size > 0, _chance_fit(clouds, weights), np.nan),
        "speed": np.sqrt((np.diff(clouds, axis=0) ** 2).sum(axis=2).mean(axis=1)) / gaps,
        "centre_speed": np.linalg.norm(np.diff(centre, axis=0), axis=1) / gaps,
    }


def _chance_fit(clouds: Float[np.ndarray, "n cls dim"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    swapped, dim = clouds.swapaxes(1, 2), clouds.shape[2]
    own = np.linalg.eigvalsh(clouds @ swapped if len(swapped[0]) > len(clouds[0]) else swapped @ clouds).clip(0)
    pooled = weights[:, None] * own
    is_axis = pooled >= np.sort(pooled, axis=None)[-min(N_COMPONENTS, pooled.size)]
    total = own.sum(axis=1)
    inside = np.divide((own * is_axis).sum(axis=1), total, out=np.zeros_like(total), where=total > 0)
    others = np.clip(N_COMPONENTS - is_axis.sum(axis=1), 0, None)
    return inside + (1 - inside) * np.minimum(others / dim, 1)


def _axes(
    clouds: Float[np.ndarray, "n cls dim"], weights: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, "dim component"]]:
    """Shares and directions of the pooled covariance, each turned so that the score of largest size is positive.

    Narrow sites are padded with directions of length zero; shares are NaN where all clouds are one point.
    """
    rows = (np.sqrt(weights)[:, None, None] * clouds).reshape(-1, clouds.shape[2])
    eigenvalues, vectors = np.linalg.eigh(rows.T @ rows)
    values, axes = np.clip(eigenvalues[::-1], 0, None), vectors[:, ::-1][:, :N_COMPONENTS]
    scores = rows @ axes
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)[0]
    missing = N_COMPONENTS - axes.shape[1]
    shares = values[:N_COMPONENTS] / values.sum() if values.sum() else np.full(axes.shape[1], np.nan)
    return np.pad(shares, (0, missing)), np.pad(axes * np.where(largest < 0, -1, 1), ((0, 0), (0, missing)))


def nulls(trajectory: CentroidTrajectory, context: Context) -> Iterator[Null]:
    """The heap of the untrained network, layouts that walk at random, and an even pace."""
    for at, site in enumerate(trajectory.site):
        yield _of_distance(trajectory, at).of("overview", **options_of(site))
    yield _of_fit(trajectory).of("fit")
    last_to_move = {layer_of(site): at for at, site in enumerate(trajectory.site) if trajectory.speed[at].any()}
    for layer, at in last_to_move.items():
        yield _of_speed(trajectory, at).of("speed", layer=layer)


def _of_distance(trajectory: CentroidTrajectory, at: int) -> Null:
    """How far the answers are apart at the end: the network before training holds them in a heap."""
    if trajectory.steps[0] != 0:
        return Null.absent(NO_START)
    inside = (trajectory.coordinate[at].astype(np.float64) ** 2).sum(axis=2).mean(axis=1)
    start, end = np.sqrt(np.nan_to_num(inside / trajectory.fit[at])[[0, -1]])  # NaN: all answers are one point
    what = "distance of the answers from their centre"
    return with_margin(what, float(end), float(start), "the untrained network", margin=FARTHER)


def _of_fit(trajectory: CentroidTrajectory) -> Null:
    """The mean over training at the last site, so that no checkpoint is judged by axes that are its own."""
    n, n_axes = len(trajectory.label), trajectory.coordinate.shape[3]
    if n <= n_axes + 1:
        return Null.absent(f"{n_axes} components hold all the variance of {n} right answers")
    weights = time_weights(trajectory.steps)
    share, chance = (_mean(values[-1], weights) for values in (trajectory.fit, trajectory.chance_fit))
    start = float(np.nan_to_num(trajectory.fit[-1, 0]))  # NaN: all answers were one point
    threshold, source = raised(max(chance, start), WALK), "layouts on a random walk from the first, or unrelated"
    return Null("mean share in the axes", share, threshold, source, "matched", level=None, unit="share")


def _mean(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    is_there = np.isfinite(values)
    return float(np.average(values[is_there], weights=weights[is_there])) if is_there.any() else float("nan")


def _of_speed(trajectory: CentroidTrajectory, at: int) -> Null:
    is_cloud = np.isfinite(trajectory.fit[at])  # where all answers are one point, rounding moves them
    gaps, is_move = np.diff(trajectory.steps), is_cloud[1:] & is_cloud[:-1]
    return of_moves("largest move of the answers", (trajectory.speed[at] * gaps)[is_move], gaps[is_move])


instrument = OverTraining(
    centroid_trajectory, needs=(geometry_instrument,), measures=lambda output: {"fit": output.fit[-1]}, nulls=nulls
)
