r"""How much each attention head reads of what a head of an earlier layer writes: Q-, K- and V-composition.

A score is the norm of the product of two heads' circuits divided by the product of their norms, from 0 (the later head
reads nothing of it) to 1 (both have one direction, the same). Random heads score about 1 / sqrt(d_model): only values
above `chance` are composition. In an induction circuit the K-composition of one pair stands out.

Maths: for row vectors the earlier head 1 writes $x W_{OV}^1$, $W_{OV} = W_V W_O$, and the later head 2 scores
$x W_{QK}^2 y^\top$, $W_{QK} = W_Q W_K^\top$. With Frobenius norms, `score` is for Q, K and V
$$\frac{\lVert W_{OV}^1 W_{QK}^2 \rVert}{\lVert W_{OV}^1 \rVert \, \lVert W_{QK}^2 \rVert}, \qquad
\frac{\lVert W_{OV}^1 (W_{QK}^2)^\top \rVert}{\lVert W_{OV}^1 \rVert \, \lVert W_{QK}^2 \rVert}, \qquad
\frac{\lVert W_{OV}^1 W_{OV}^2 \rVert}{\lVert W_{OV}^1 \rVert \, \lVert W_{OV}^2 \rVert}.$$
`chance` and `chance_std` are mean and standard deviation of these over pairs of heads with entries from $N(0, 1)$.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", section "Two-layer attention-only
transformers" (scores, and random matrices as their baseline). A norm's gain, and for LayerNorm its centring, are taken
into the matrices that read through it, as TransformerLens does (`fold_ln`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.guessing import z_score
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, NotApplicable, Null, Output, PerCheckpoint

KINDS = ("Q", "K", "V")


@dataclass(frozen=True)
class CompositionScores(Output):
    score: Float[np.ndarray, "kind layer head layer head"]  # Q, K, V; earlier, then later head; NaN: not in that order
    chance: float  # mean over Gaussian heads of the same shape, which is the same for Q, K and V
    chance_std: float  # over their pairs


def composition_scores(
    checkpoint: Checkpoint, context: Context, *, n_random_heads: int = 16, random_seed: int = 0
) -> CompositionScores:
    """Of every pair of heads of different layers, in float64; NaN also where one of the two circuits is zero."""
    if n_random_heads < 1:
        raise MiscopeError(f"`n_random_heads` = {n_random_heads}; allowed: 1 or more.")
    model = checkpoint.model
    if model.n_layers < 2:
        raise NotApplicable("The network has one layer, so no head reads what another head writes.")
    layers = [_heads(checkpoint, i) for i in range(model.n_layers)]
    score = np.full((len(KINDS), *(model.n_layers, model.n_heads) * 2), np.nan)
    for later in range(1, model.n_layers):
        for earlier in range(later):
            score[:, earlier, :, later, :] = _scores(layers[earlier], layers[later])
    chance = _random_scores(model.d_model, model.d_head, n_random_heads, random_seed)
    return CompositionScores(score, float(chance.mean()), float(chance.std()))


class _Heads(NamedTuple):
    """The heads of one layer, in row-vector convention: x W_Q, x W_K, x W_V, z W_O."""

    q: Float[np.ndarray, "head d_model d_head"]
    k: Float[np.ndarray, "head d_model d_head"]
    v: Float[np.ndarray, "head d_model d_head"]
    o: Float[np.ndarray, "head d_head d_model"]


def _heads(checkpoint: Checkpoint, layer: int) -> _Heads:
    w, norm = checkpoint.weights, f"blocks.{layer}.ln1"
    gain = w.get(f"{norm}.w", np.ones(1)).astype(np.float64)
    q, k, v = (w[f"blocks.{layer}.attn.W_{kind}"] * gain[:, None] for kind in KINDS)
    if f"{norm}.b" in w:  # LayerNorm takes the mean of the residual stream away
        q, k, v = (matrix - matrix.mean(axis=1, keepdims=True) for matrix in (q, k, v))
    return _Heads(q, k, v, w[f"blocks.{layer}.attn.W_O"].astype(np.float64))


def _scores(earlier: _Heads, later: _Heads) -> Float[np.ndarray, "kind head head"]:
    """Scores of each earlier with each later head.

    Nothing of the residual stream's width is multiplied out: of a tall matrix the triangle of its QR decomposition is
    enough, since ||V (O Q) K'|| = ||R_V (O Q) R_K'||.
    """
    v, q, k, write = (np.asarray(np.linalg.qr(x, mode="r")) for x in (earlier.v, later.q, later.k, later.o.mT))
    circuit, qk, ov = v @ earlier.o, q @ k.mT, later.v @ write.mT
    read = ((later.q, k, qk), (later.k, q, qk), (later.v, write, ov))
    return np.stack([_shares(v, earlier.o, circuit, *one) for one in read])


def _shares(
    v: np.ndarray, o: np.ndarray, circuit: np.ndarray, reader: np.ndarray, end: np.ndarray, later_circuit: np.ndarray
) -> Float[np.ndarray, "head head"]:
    """||R_V (O reader) end'|| over the sizes of the two circuits."""
    middle = np.einsum("aed,bdf->abef", o, reader, optimize=True)
    size = np.linalg.norm(v[:, None] @ middle @ end.mT, axis=(-2, -1))
    sizes = np.linalg.norm(circuit, axis=(-2, -1))[:, None] * np.linalg.norm(later_circuit, axis=(-2, -1))
    return np.divide(size, sizes, out=np.full(size.shape, np.nan), where=sizes > 0)


@lru_cache(maxsize=8)
def _random_scores(d_model: int, d_head: int, n_heads: int, seed: int) -> Float[np.ndarray, "kind head head"]:
    """Scores of the pairs of two layers of Gaussian heads."""
    rng, shapes = np.random.default_rng(seed), [(n_heads, d_model, d_head)] * 3 + [(n_heads, d_head, d_model)]
    first, second = (_Heads(*(rng.normal(size=shape) for shape in shapes)) for _ in range(2))
    return _scores(first, second)


def nulls(scores: Artifact[CompositionScores], context: Context) -> Iterator[Null]:
    """As many pairs of Gaussian heads; those of any trained network read and write some directions more than others."""
    yield _of_highest(scores.last).of("overview")
    for step, output in scores.items():
        yield _of_highest(output, len(scores)).of("matrix", step)


def _of_highest(output: CompositionScores, n_comparisons: int = 1) -> Null:
    """The pair of heads that scores highest of all."""
    n_pairs = max(1, int(np.isfinite(output.score).sum()))
    threshold = output.chance + output.chance_std * z_score(n_pairs * n_comparisons)
    highest = float(np.nanmax(output.score, initial=-np.inf))
    return Null("largest composition score", highest, threshold, "99 % of random heads")


instrument = PerCheckpoint(
    composition_scores,
    measures=lambda output: {f"{kind}_composition": np.nanmax(output.score[i]) for i, kind in enumerate(KINDS)},
    nulls=nulls,
)
