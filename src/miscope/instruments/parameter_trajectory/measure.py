r"""The path of the weights through parameter space, of all weights and by group of matrices.

Compare the shares with `random_walk_variance`: a long walk in which nothing is learned gives .61, .15, .07 and a
PC2-PC3 loop as well. A straight path has one component. The run at p = 113 gives .665, .208, .051.

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
from itertools import combinations, groupby
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.instruments._shared.nulls import of_moves
from miscope.maths import walks
from miscope.maths.decomposition import centred_gram, linear_cka, principal_components, random_walk_shares
from miscope.maths.null_distributions import RARE
from miscope.plugin import Checkpoint, Context, NotApplicable, Null, Output, OverTraining

Moves = Float[np.ndarray, " interval"]
Points = Float[np.ndarray, " n"]
BLOCK = 16_384  # parameters held in float64 at a time
GROUPS = ("embedding", "attention", "mlp")


@dataclass(frozen=True)
class _Path(Output):
    """How a path goes on from checkpoint to checkpoint."""

    steps: Int[np.ndarray, " n"]
    speed: Float[np.ndarray, "group interval"]  # ||theta' - theta|| per step between neighbouring checkpoints
    turning: Float[np.ndarray, "group corner"]  # cosine of successive displacements; 1 straight on, NaN at a standstill
    distance: Float[np.ndarray, "group n"]  # L2 norm from the first checkpoint, which is the initialisation
    radial: Float[np.ndarray, "group n"]  # of that, along the first weights themselves; negative where they shrink


@dataclass(frozen=True)
class ParameterTrajectory(_Path):
    group: tuple[str, ...]  # `all`, then those of `embedding`, `attention`, `mlp` that the model has
    coordinate: Float[np.ndarray, "group n component"]  # PCA scores, in L2 norm of parameters; largest one positive
    explained_variance: Float[np.ndarray, "group component"]  # share of the path's variance, in [0, 1], descending
    loop_area: Float[np.ndarray, " group"]  # signed, of the closed PC2-PC3 curve, units squared; 0 without a third one
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
    weights, kept = walks.time_weights(steps), min(n_components, len(steps) - 1)
    root = np.sqrt(np.outer(weights, weights))
    centred = [centred_gram(product.gram, weights) for product in products.values()]
    coordinate, share = zip(*(principal_components(gram, weights, kept) for gram in centred), strict=True)
    path = _path(steps, list(products.values()))
    return ParameterTrajectory(
        **vars(path),
        group=tuple(products),
        coordinate=np.stack(coordinate),
        explained_variance=np.stack(share),
        loop_area=np.array([walks.signed_area(x[:, 1], x[:, 2]) if x.shape[1] > 2 else 0.0 for x in coordinate]),
        random_walk_variance=random_walk_shares(kept),
        proximity=np.array([[linear_cka(root * a, root * b) for b in centred] for a in centred]),
        walk_share=np.stack([_walks(path, g)[0][:, :kept].mean(axis=0) for g in range(len(products))]),
        walk_distance=np.hypot(path.radial[0], _walked(_sideways(path, 0).moves)),
    )


class _Products(NamedTuple):
    """Inner products, in float64; those of disjoint groups of parameters add up."""

    gram: Float[np.ndarray, "n n"]  # of the displacements from the first checkpoint
    squares: Moves  # of each displacement between neighbours with itself
    dots: Float[np.ndarray, " corner"]  # and with the one that follows
    along: Points  # of the displacements with the first checkpoint
    square: float  # of the first checkpoint with itself


def _path(steps: Int[np.ndarray, " n"], groups: list[_Products]) -> _Path:
    return _Path(
        steps=steps,
        speed=np.stack([np.sqrt(p.squares) / np.diff(steps) for p in groups]),
        turning=np.stack([walks.cosines(p.dots, p.squares[:-1], p.squares[1:]) for p in groups]),
        distance=np.stack([np.sqrt(np.diag(p.gram)) for p in groups]),
        radial=np.stack([p.along / np.sqrt(p.square or 1) for p in groups]),
    )


def _products(checkpoints: Mapping[int, Checkpoint]) -> dict[str, _Products]:
    rows, columns = _rows(checkpoints)
    parts = {}
    for group, at in columns.items():
        starts = range(at.start, at.stop, BLOCK)
        parts[group] = _total(_products_of(rows[:, i : min(i + BLOCK, at.stop)].astype(np.float64)) for i in starts)
    return {"all": _total(parts.values()), **{group: parts[group] for group in GROUPS if group in parts}}


def _total(products: Iterable[_Products]) -> _Products:
    return _Products(*(np.sum(parts, axis=0) for parts in zip(*products, strict=True)))


def _products_of(block: Float[np.ndarray, "n block"]) -> _Products:
    displacement, move = block - block[0], np.diff(block, axis=0)
    dots = np.einsum("ij,ij->i", move[:-1], move[1:])
    squares, along = np.einsum("ij,ij->i", move, move), displacement @ block[0]
    return _Products(displacement @ displacement.T, squares, dots, along, float(block[0] @ block[0]))


def _rows(checkpoints: Mapping[int, Checkpoint]) -> tuple[Float32[np.ndarray, "n parameter"], dict[str, slice]]:
    """All weights as one row per checkpoint, each read once, and the columns of each group."""
    first = next(iter(checkpoints.values()))
    names = sorted(first.weights, key=lambda name: (_group(name), name))
    rows = np.empty((len(checkpoints), sum(first.weights[name].size for name in names)), dtype=np.float32)
    for row, checkpoint in zip(rows, checkpoints.values(), strict=True):
        np.concatenate([checkpoint.weights[name].ravel() for name in names], out=row, casting="same_kind")
    columns, start = {}, 0
    for group, members in groupby(names, key=_group):
        end = start + sum(first.weights[name].size for name in members)
        columns[group], start = slice(start, end), end
    return rows, columns


def _group(name: str) -> str:
    if name.startswith("blocks."):
        return {"attn": "attention", "mlp": "mlp"}.get(name.split(".")[2], "other")
    return "embedding" if name.partition(".")[0] in ("embed", "pos_embed", "unembed") else "other"


def nulls(trajectory: ParameterTrajectory, context: Context) -> Iterator[Null]:
    """Random walks with the path's own moves that shrink as it does, and moves that go on or back by a coin."""
    every = tuple(range(1, trajectory.coordinate.shape[2] + 1))
    drawn = [_walks(trajectory, g) for g in range(len(trajectory.group))]
    for g, group in enumerate(trajectory.group):
        for view, axes in (("overview", 2), ("three_d", 3)):
            for chosen in combinations(every, axes):
                yield _of_components(trajectory, g, chosen, drawn[g][0]).of(view, group=group, components=chosen)
        for first in every:
            yield _of_components(trajectory, g, every[:first], drawn[g][0]).of("components", group=group, n=first)
        yield _of_components(trajectory, g, every[:2], drawn[g][0]).of("explained_variance", group=group)
    path = _sideways(trajectory, 0)  # of all parameters; what shrinks them is left out, as that slows down by itself
    yield of_moves("largest move", path.moves, np.diff(trajectory.steps)).of("speed")
    statistic = "largest ratio to a random walk's distance, without the shrinking,"
    farthest, threshold = _farthest(path.distance, path.moves), float(np.quantile(drawn[0][1], 1 - RARE))
    yield Null(statistic, farthest, threshold, "99 % of random walks with the same step lengths", "matched").of(
        "distance"
    )
    yield _of_turning(path).of("turning")
    yield _of_proximity(trajectory).of("proximity")


class _Sideways(NamedTuple):
    """A path without what shrinks or enlarges the first weights as they are, which weight decay does."""

    moves: Moves  # lengths
    distance: Points  # from the first checkpoint
    cosines: Float[np.ndarray, " corner"]  # of successive moves; those of a move of length 0 left out


def _sideways(path: _Path, g: int) -> _Sideways:
    radial, whole = path.radial[g], path.speed[g] * np.diff(path.steps)
    along = np.diff(radial)
    squares = np.clip(whole**2 - along**2, 0, None)
    squares[squares <= 1e-9 * whole**2] = 0  # rounding
    dots = np.nan_to_num(path.turning[g]) * whole[:-1] * whole[1:] - along[:-1] * along[1:]
    turns = walks.cosines(dots, squares[:-1], squares[1:])
    distance = np.sqrt(np.clip(path.distance[g] ** 2 - radial**2, 0, None))
    return _Sideways(np.sqrt(squares), distance, turns[np.isfinite(turns)])


def _walked(moves: Moves) -> Points:
    """The distance of a random walk from its start, in many dimensions: the root of the sum of the squared moves."""
    return np.sqrt(np.append(0, np.cumsum(moves**2)))


def _farthest(distance: Points, moves: Moves) -> float:
    """The largest multiple that the distance ever is of a random walk's; NaN where nothing moves."""
    walk = _walked(moves)
    is_there = walk > 0
    return float((distance[is_there] / walk[is_there]).max()) if is_there.any() else float("nan")


Drawn = Float[np.ndarray, "draw component"]


def _walks(path: _Path, g: int) -> tuple[Drawn, Float[np.ndarray, " draw"]]:
    """Shares of variance and `_farthest` of random walks whose moves are as long as a group's and that shrink as it."""
    moves, weights = _sideways(path, g).moves, walks.time_weights(path.steps)
    drawn = [
        (walks.shares(walk, weights), _farthest(np.linalg.norm(walk[:, :-1], axis=1), moves))
        for walk in walks.random_walks(moves, path.radial[g])
    ]
    return np.array([of for of, _ in drawn]), np.array([of for _, of in drawn])


def _of_components(trajectory: ParameterTrajectory, g: int, components: tuple[int, ...], drawn: Drawn) -> Null:
    """The share of the path's variance that components, numbered from 1, hold, against those of random walks."""
    if not trajectory.speed[g].any():
        return Null.absent("these weights do not move")
    at = [component - 1 for component in components]
    statistic = f"share of {', '.join(f'PC{component}' for component in components)}"
    source = "99 % of random walks with the same step lengths and shrinking"
    threshold = float(np.quantile(drawn[:, at].sum(axis=1), 1 - RARE)) + 1e-9  # rounding, where both are whole
    share = float(trajectory.explained_variance[g, at].sum())
    return Null(statistic, share, threshold, source, "matched", unit="share")


def _of_turning(path: _Sideways) -> Null:
    """The mean over the path; what shrinks goes straight on by itself."""
    if not len(path.cosines):
        return Null.absent("there are no two successive moves to compare")
    statistic, source = (
        "mean cosine of all, without the shrinking,",
        "99 % of paths whose moves go forward or back at random",
    )
    return Null(statistic, float(path.cosines.mean()), walks.straightness_of_coins(path.cosines), source, "matched")


def _of_proximity(trajectory: ParameterTrajectory) -> Null:
    """The mean over pairs of groups: walks that start together and move at the same times are near as well."""
    pairs = list(combinations(range(1, len(trajectory.group)), 2))
    if not pairs:
        return Null.absent("there is one group of matrices alone")
    mean = float(np.mean([trajectory.proximity[pair] for pair in pairs]))
    source = "99 % of independent random walks with the same step lengths"
    return Null("mean proximity of two groups", mean, _proximity_of_walks(trajectory), source, "matched")


def _proximity_of_walks(trajectory: ParameterTrajectory) -> float:
    """What independent walks of the groups' moves reach; the more dimensions they have, the surer they are near."""
    groups, weights = range(1, len(trajectory.group)), walks.time_weights(trajectory.steps)
    paths = [_sideways(trajectory, g).moves for g in groups]
    drawn = zip(
        *(walks.random_walks(m, trajectory.radial[g], g) for m, g in zip(paths, groups, strict=True)), strict=True
    )
    means = [np.mean([walks.proximity(a, b, weights) for a, b in combinations(each, 2)]) for each in drawn]
    grams = [_gram_of_walk(m, trajectory.radial[g], weights) for m, g in zip(paths, groups, strict=True)]
    sure = np.mean([linear_cka(*two) for two in combinations(grams, 2)])
    return max(float(np.quantile(means, 1 - RARE)), float(sure))


def _gram_of_walk(moves: Moves, radial: Points, weights: Points) -> Float[np.ndarray, "n n"]:
    """Of a walk in so many dimensions that no two of its moves have a direction in common."""
    squares, root = _walked(moves) ** 2, np.sqrt(weights)
    gram = centred_gram(np.minimum.outer(squares, squares) + np.outer(radial, radial), weights)
    return root[:, None] * gram * root


instrument = OverTraining(
    parameter_trajectory,
    reads_weights=True,
    measures=lambda output: {f"distance of {group}": x for group, x in zip(output.group, output.distance, strict=True)},
    nulls=nulls,
)
