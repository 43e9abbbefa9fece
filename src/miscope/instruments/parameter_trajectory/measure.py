r"""The path that the weights take through parameter space, whole and by group of matrices.

Compare the shares with `random_walk_variance`: a long walk in which nothing is learned gives .61, .15, .07 and a
PC2-PC3 loop as well. A straight path has one component. The calibration run gives .665, .208, .051.

Maths: $\theta_a$ is the weights of a group at checkpoint $a$ of step $t_a$, $\Delta_a = \theta_{a+1} - \theta_a$, and
$w_a$ the mean of the gaps beside $t_a$, over the mean of all $w$. The axes $u_i$ are the eigenvectors, to the
eigenvalues $\lambda_i$, of
$$\Sigma = \sum_a w_a (\theta_a - \bar\theta)(\theta_a - \bar\theta)^\top, \qquad
\bar\theta = \frac{\sum_a w_a \theta_a}{\sum_a w_a}, \qquad
\text{explained\_variance}_i = \frac{\lambda_i}{\sum_j \lambda_j},$$
$$\text{coordinate}_{a,i} = u_i \cdot (\theta_a - \bar\theta), \qquad
\text{speed}_a = \frac{\lVert \Delta_a \rVert}{t_{a+1} - t_a}, \qquad
\text{turning}_a = \frac{\Delta_a \cdot \Delta_{a+1}}{\lVert \Delta_a \rVert \, \lVert \Delta_{a+1} \rVert},$$
`distance` $\lVert \theta_a - \theta_0 \rVert$ and `radial` $(\theta_a - \theta_0) \cdot \theta_0 / \lVert \theta_0
\rVert$, along which weight decay leads alone. With $x_a, y_a$ the coordinates on PC2 and PC3, the last followed by the
first, and $K_{ab} = \sqrt{w_a w_b} \, (\theta_a - \bar\theta) \cdot (\theta_b - \bar\theta)$ of one group, $L$ of
another,
$$\text{loop\_area} = \tfrac{1}{2} \sum_a (x_a y_{a+1} - x_{a+1} y_a), \qquad
\text{proximity} = \frac{\sum_{a,b} K_{ab} L_{ab}}{\lVert K \rVert_F \lVert L \rVert_F}.$$

Source: Antognini and Sohl-Dickstein 2018, arXiv:1806.08805 (PCA of trajectories and its null); Kornblith et al. 2019,
arXiv:1905.00414 (linear CKA). Checkpoints that are uneven in time are weighted by the time they stand for, so that a
dense stretch does not bend the components; even ones have equal weights, and then it is plain PCA.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.instruments._shared.pace import of_moves
from miscope.maths.decomposition import centred_gram, linear_cka, principal_components, random_walk_shares
from miscope.maths.null_distributions import RARE
from miscope.maths.walks import (
    cosines,
    proximity,
    random_walks,
    shares,
    signed_area,
    straightness_of_coins,
    time_weights,
)
from miscope.plugin import Checkpoint, Context, NotApplicable, Null, Output, OverTraining

BLOCK = 16_384  # parameters held in float64 at a time
GROUP_PREFIXES = {"embed": "embedding", "pos_embed": "embedding", "unembed": "embedding"}
GROUPS = ("embedding", "attention", "mlp")


@dataclass(frozen=True)
class ParameterTrajectory(Output):
    steps: Int[np.ndarray, " n"]
    group: tuple[str, ...]  # `all`, then those of `embedding`, `attention`, `mlp` that the model has
    coordinate: Float[np.ndarray, "group n component"]  # PCA scores, in L2 norm of parameters; largest one positive
    explained_variance: Float[np.ndarray, "group component"]  # share of the path's variance, in [0, 1], descending
    speed: Float[np.ndarray, "group interval"]  # ||theta' - theta|| per step between neighbouring checkpoints
    turning: Float[np.ndarray, "group corner"]  # cosine of successive displacements; 1 straight on, NaN at a standstill
    distance: Float[np.ndarray, "group n"]  # L2 norm from the first checkpoint, which is the initialisation
    radial: Float[np.ndarray, "group n"]  # of that, along the first weights themselves; negative where they shrink
    loop_area: Float[np.ndarray, " group"]  # signed area of the closed PC2-PC3 curve, coordinate units squared
    random_walk_variance: Float[np.ndarray, " component"]  # explained_variance of a long, even walk: 6 / (pi^2 k^2)
    proximity: Float[np.ndarray, "group group"]  # linear CKA of two groups' paths, in [0, 1]; NaN: one stands still
    walk_share: Float[np.ndarray, "group component"]  # mean explained_variance of random walks with the same moves
    walk_distance: Float[np.ndarray, " n"]  # of a random walk with the moves of all weights, shrinking as they do


def parameter_trajectory(
    checkpoints: Mapping[int, Checkpoint], context: Context, *, n_components: int = 10
) -> ParameterTrajectory:
    """Exact PCA by the n x n Gram matrix of checkpoints; float32 weights are held once, never a P x P matrix."""
    steps = np.array(tuple(checkpoints), dtype=np.int64)
    if len(steps) < 2:
        raise NotApplicable("A path needs two checkpoints at least.")
    products = _products(checkpoints)
    weights, kept = time_weights(steps), min(n_components, len(steps) - 1)
    centred = [centred_gram(product.gram, weights) for product in products.values()]
    components = [principal_components(gram, weights, kept) for gram in centred]
    moves = _moves(steps, products.values())
    return ParameterTrajectory(
        **moves._asdict(),
        group=tuple(products),
        coordinate=np.stack([c.scores for c in components]),
        explained_variance=np.stack([c.shares for c in components]),
        loop_area=np.array([_loop_area(c.scores) for c in components]),
        random_walk_variance=random_walk_shares(kept),
        proximity=_proximity(centred, weights),
        walk_share=np.stack([_walks(moves, g).shares[:, :kept].mean(axis=0) for g in range(len(products))]),
        walk_distance=np.hypot(moves.radial[0], _walked(_sideways(moves, 0).moves)),
    )


class _Products(NamedTuple):
    """Inner products, in float64; those of disjoint groups of parameters add up."""

    gram: Float[np.ndarray, "n n"]  # of the displacements from the first checkpoint
    squares: Float[np.ndarray, " interval"]  # of each displacement between neighbours with itself
    dots: Float[np.ndarray, " corner"]  # and with the one that follows
    along: Float[np.ndarray, " n"]  # of the displacements with the first checkpoint
    square: float  # of the first checkpoint with itself


class _Moves(NamedTuple):
    """How a path goes on from checkpoint to checkpoint; the fields are those of ParameterTrajectory."""

    steps: Int[np.ndarray, " n"]
    speed: Float[np.ndarray, "group interval"]
    turning: Float[np.ndarray, "group corner"]
    distance: Float[np.ndarray, "group n"]
    radial: Float[np.ndarray, "group n"]


def _moves(steps: Int[np.ndarray, " n"], products: Iterable[_Products]) -> _Moves:
    groups = tuple(products)
    return _Moves(
        steps=steps,
        speed=np.stack([np.sqrt(p.squares) / np.diff(steps) for p in groups]),
        turning=np.stack([cosines(p.dots, p.squares[:-1], p.squares[1:]) for p in groups]),
        distance=np.stack([np.sqrt(np.diag(p.gram)) for p in groups]),
        radial=np.stack([p.along / np.sqrt(p.square or 1) for p in groups]),
    )


def _total(products: Iterable[_Products]) -> _Products:
    return _Products(*(np.sum(parts, axis=0) for parts in zip(*products, strict=True)))


def _products(checkpoints: Mapping[int, Checkpoint]) -> dict[str, _Products]:
    path, columns = _path(checkpoints)
    parts = {group: _total(map(_products_of, _blocks(path[:, chosen]))) for group, chosen in columns.items()}
    return {"all": _total(parts.values()), **{group: parts[group] for group in GROUPS if group in parts}}


def _products_of(block: Float[np.ndarray, "n block"]) -> _Products:
    displacement, move = block - block[0], np.diff(block, axis=0)
    dots = np.einsum("ij,ij->i", move[:-1], move[1:])
    squares, along = np.einsum("ij,ij->i", move, move), displacement @ block[0]
    return _Products(displacement @ displacement.T, squares, dots, along, float(block[0] @ block[0]))


def _path(checkpoints: Mapping[int, Checkpoint]) -> tuple[Float32[np.ndarray, "n parameter"], dict[str, slice]]:
    """All weights as one row per checkpoint, each read once, and the columns of each group."""
    first = next(iter(checkpoints.values()))
    names = sorted(first.weights, key=lambda name: (_group(name), name))
    path = np.empty((len(checkpoints), sum(first.weights[name].size for name in names)), dtype=np.float32)
    for row, checkpoint in zip(path, checkpoints.values(), strict=True):
        np.concatenate([checkpoint.weights[name].ravel() for name in names], out=row, casting="same_kind")
    ends = np.cumsum([first.weights[name].size for name in names])
    columns: dict[str, slice] = {}
    for name, end in zip(names, ends.tolist(), strict=True):
        start = columns[_group(name)].start if _group(name) in columns else end - first.weights[name].size
        columns[_group(name)] = slice(start, end)
    return path, columns


def _group(name: str) -> str:
    if name.startswith("blocks."):
        return {"attn": "attention", "mlp": "mlp"}.get(name.split(".")[2], "other")
    return GROUP_PREFIXES.get(name.partition(".")[0], "other")


def _blocks(path: Float32[np.ndarray, "n parameter"]) -> Iterator[Float[np.ndarray, "n block"]]:
    for start in range(0, path.shape[1], BLOCK):
        yield path[:, start : start + BLOCK].astype(np.float64)


def _loop_area(scores: Float[np.ndarray, "n component"]) -> float:
    """Zero where the path has fewer than three components: it lies in the line of PC1 or in the PC1-PC2 plane."""
    return signed_area(scores[:, 1], scores[:, 2]) if scores.shape[1] > 2 else 0.0


def _proximity(
    centred: list[Float[np.ndarray, "n n"]], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "group group"]:
    root = np.sqrt(np.outer(weights, weights))
    return np.array([[linear_cka(root * a, root * b) for b in centred] for a in centred])


def measures(output: ParameterTrajectory) -> dict[str, np.ndarray]:
    """How far each group of weights is from where it began."""
    return {f"distance of {group}": of for group, of in zip(output.group, output.distance, strict=True)}


# ---------------------------------------------------------------- what a random walk would show


def nulls(trajectory: ParameterTrajectory, context: Context) -> Iterator[Null]:
    """Random walks with the path's own moves that shrink as it does, and moves that go on or back by a coin."""
    steps, n = np.diff(trajectory.steps), trajectory.coordinate.shape[2]
    for g, group in enumerate(trajectory.group):
        walks = _walks(trajectory, g)
        for pair in combinations(range(1, n + 1), 2):
            yield _of_components(trajectory, g, pair, walks).of("overview", group=group, components=pair)
        for three in combinations(range(1, n + 1), 3):
            yield _of_components(trajectory, g, three, walks).of("three_d", group=group, components=three)
        for first in range(1, n + 1):
            yield _of_components(trajectory, g, tuple(range(1, first + 1)), walks).of(
                "components", group=group, n=first
            )
        yield _of_components(trajectory, g, (1, 2)[:n], walks).of("explained_variance", group=group)
    yield of_moves("longest move", _sideways(trajectory, 0).moves, steps).of("speed")  # shrinking slows down by itself
    yield _of_distance(trajectory).of("distance")
    yield _of_turning(trajectory).of("turning")
    yield _of_proximity(trajectory).of("proximity")


class _Sideways(NamedTuple):
    """A path without what shrinks or enlarges the first weights as they are, which weight decay does."""

    moves: Float[np.ndarray, " interval"]  # lengths
    distance: Float[np.ndarray, " n"]  # from the first checkpoint
    cosines: Float[np.ndarray, " corner"]  # of successive moves; those of a move of length 0 left out


def _sideways(path: _Moves | ParameterTrajectory, g: int) -> _Sideways:
    radial, whole = path.radial[g], path.speed[g] * np.diff(path.steps)
    along = np.diff(radial)
    squares = np.clip(whole**2 - along**2, 0, None)
    squares[squares <= 1e-9 * whole**2] = 0  # rounding
    dots = np.nan_to_num(path.turning[g]) * whole[:-1] * whole[1:] - along[:-1] * along[1:]
    turns = cosines(dots, squares[:-1], squares[1:])
    distance = np.sqrt(np.clip(path.distance[g] ** 2 - radial**2, 0, None))
    return _Sideways(np.sqrt(squares), distance, turns[np.isfinite(turns)])


def _walked(moves: Float[np.ndarray, " interval"]) -> Float[np.ndarray, " n"]:
    """The distance of a random walk from its start, in many dimensions: the root of the sum of the squared moves."""
    return np.sqrt(np.append(0, np.cumsum(moves**2)))


def _farthest(distance: Float[np.ndarray, " n"], moves: Float[np.ndarray, " interval"]) -> float:
    """The largest multiple that the distance ever is of a random walk's; NaN where nothing moves."""
    walk = _walked(moves)
    is_there = walk > 0
    return float((distance[is_there] / walk[is_there]).max()) if is_there.any() else float("nan")


class _Walks(NamedTuple):
    """What random walks show whose moves are as long as those of a path, and that shrink as it does."""

    shares: Float[np.ndarray, "draw component"]  # of variance
    farthest: Float[np.ndarray, " draw"]


def _walks(path: _Moves | ParameterTrajectory, g: int) -> _Walks:
    """Seeded draws, for one group of matrices."""
    moves, weights = _sideways(path, g).moves, time_weights(path.steps)
    drawn = [
        (shares(points, weights), _farthest(np.linalg.norm(points[:, :-1], axis=1), moves))
        for points in random_walks(moves, path.radial[g])
    ]
    return _Walks(np.array([one for one, _ in drawn]), np.array([one for _, one in drawn]))


def _of_components(trajectory: ParameterTrajectory, g: int, components: tuple[int, ...], walks: _Walks) -> Null:
    """The share of the path's variance that components, numbered from 1, hold, against those of random walks."""
    at = [component - 1 for component in components]
    share, drawn = trajectory.explained_variance[g, at].sum(), walks.shares[:, at].sum(axis=1)
    if not trajectory.speed[g].any():
        return Null.absent("these weights do not move")
    statistic = f"share of {', '.join(f'PC{component}' for component in components)}"
    source = "99 % of random walks that move and shrink as much"
    threshold = float(np.quantile(drawn, 1 - RARE)) + 1e-9  # rounding, where both are whole
    return Null(statistic, float(share), threshold, source, "matched", unit="share")


def _of_distance(trajectory: ParameterTrajectory) -> Null:
    """The distance of all parameters where it is most beyond a random walk's; what shrinks them is left out."""
    path = _sideways(trajectory, 0)
    return Null(
        "largest multiple of a random walk's distance, shrinking aside,",
        _farthest(path.distance, path.moves),
        float(np.quantile(_walks(trajectory, 0).farthest, 1 - RARE)),
        "99 % of random walks of the same moves",
        "matched",
    )


def _of_turning(trajectory: ParameterTrajectory) -> Null:
    """The mean over the path of all parameters, without what shrinks them: that goes straight on by itself."""
    turns = _sideways(trajectory, 0).cosines
    if not len(turns):
        return Null.absent("there are no two successive moves to compare")
    statistic, source = "mean cosine of all, shrinking aside,", "99 % of paths whose moves go on or back by a coin"
    return Null(statistic, float(turns.mean()), straightness_of_coins(turns), source, "matched")


def _of_proximity(trajectory: ParameterTrajectory) -> Null:
    """The mean over pairs of groups: walks that start together and move at the same times are near as well."""
    pairs = list(combinations(range(1, len(trajectory.group)), 2))
    if not pairs:
        return Null.absent("there is one group of matrices alone")
    mean = float(np.mean([trajectory.proximity[pair] for pair in pairs]))
    source = "99 % of independent random walks of the same moves"
    return Null("mean proximity of two groups", mean, _proximity_of_walks(trajectory), source, "matched")


def _proximity_of_walks(trajectory: ParameterTrajectory) -> float:
    """What independent walks of the groups' moves reach; the more dimensions they have, the surer they are near."""
    groups, weights = range(1, len(trajectory.group)), time_weights(trajectory.steps)
    paths = [_sideways(trajectory, g).moves for g in groups]
    drawn = zip(*(random_walks(m, trajectory.radial[g], g) for m, g in zip(paths, groups, strict=True)), strict=True)
    means = [np.mean([proximity(a, b, weights) for a, b in combinations(walks, 2)]) for walks in drawn]
    grams = [_gram_of_walk(m, trajectory.radial[g], weights) for m, g in zip(paths, groups, strict=True)]
    sure = np.mean([linear_cka(*two) for two in combinations(grams, 2)])
    return max(float(np.quantile(means, 1 - RARE)), float(sure))


def _gram_of_walk(
    moves: Float[np.ndarray, " interval"], radial: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n n"]:
    """Of a walk in so many dimensions that no two of its moves have a direction in common."""
    squares, root = _walked(moves) ** 2, np.sqrt(weights)
    gram = centred_gram(np.minimum.outer(squares, squares) + np.outer(radial, radial), weights)
    return root[:, None] * gram * root


instrument = OverTraining(parameter_trajectory, reads_weights=True, measures=measures, nulls=nulls)
