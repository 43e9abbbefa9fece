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
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.core import Checkpoint, Context, NotApplicable, Output, OverTraining
from miscope.maths.checkpoints import time_weights
from miscope.maths.decomposition import centred_gram, linear_cka, principal_components, random_walk_shares
from miscope.maths.geometry import cosines, signed_area

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
    return ParameterTrajectory(
        steps=steps,
        group=tuple(products),
        coordinate=np.stack([c.scores for c in components]),
        explained_variance=np.stack([c.shares for c in components]),
        speed=np.stack([np.sqrt(p.squares) / np.diff(steps) for p in products.values()]),
        turning=np.stack([cosines(p.dots, p.squares[:-1], p.squares[1:]) for p in products.values()]),
        distance=np.stack([np.sqrt(np.diag(p.gram)) for p in products.values()]),
        radial=np.stack([p.along / np.sqrt(p.square or 1) for p in products.values()]),
        loop_area=np.array([_loop_area(c.scores) for c in components]),
        random_walk_variance=random_walk_shares(kept),
        proximity=_proximity(centred, weights),
    )


class _Products(NamedTuple):
    """Inner products, in float64; those of disjoint groups of parameters add up."""

    gram: Float[np.ndarray, "n n"]  # of the displacements from the first checkpoint
    squares: Float[np.ndarray, " interval"]  # of each displacement between neighbours with itself
    dots: Float[np.ndarray, " corner"]  # and with the one that follows
    along: Float[np.ndarray, " n"]  # of the displacements with the first checkpoint
    square: float  # of the first checkpoint with itself


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


def measures(found: ParameterTrajectory) -> dict[str, np.ndarray]:
    """How far each group of weights is from where it began."""
    return {f"distance of {group}": of for group, of in zip(found.group, found.distance, strict=True)}


analyzer = OverTraining(parameter_trajectory, reads_weights=True, measures=measures)
