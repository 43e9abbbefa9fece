r"""How a network adds: like a clock, which multiplies waves of both summands, or like a pizza, which adds them first.

A pizza treats both summands alike, and its logits depend on the distance between them; a clock does neither. Gradient
symmetry is the cosine of an output's gradients with respect to the embeddings of a and b. Distance irrelevance is how
much of the right logit's spread remains among pairs of one distance. A published pizza has 0.99 and 0.17, a published
clock 0.33 and 0.85; networks with symmetry above 0.98 and irrelevance below 0.6 were called pizzas. An untrained
network has a symmetry near 0.99 too, because its attention is nearly even: symmetry alone is no evidence for a pizza.

Maths: $z_c$ is the logit of $c$ on the pair $(a, b)$, $g_a$ and $g_b$ its gradients by the embeddings of $a$ and $b$;
$r(a, b)$ is the logit of the right answer, $a + d$ is modulo $p$. The mean is over the triples drawn; standard
deviations are over $n$, not $n - 1$.
$$\text{gradient\_symmetry} = \operatorname{mean}_{a,b,c} \frac{g_a \cdot g_b}{\lVert g_a \rVert \, \lVert g_b \rVert},
\qquad \text{distance\_irrelevance} =
\frac{\tfrac{1}{p} \sum_d \operatorname{std}_a r(a, a + d)}{\operatorname{std}_{a,b} r(a, b)}.$$

Source: Zhong et al. 2023, arXiv:2306.17844, section 4.1 and 4.2 (definitions), 5 (the bounds). Theirs is the mean over
100 triples (a, b, c); ours over as many as the setting says. The nulls are ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.instruments._shared.nulls import MARGIN
from miscope.maths.spectra import is_square_grid
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, NotApplicable, Null, Output, PerCheckpoint

Gradients = Float[np.ndarray, "triple d_model"]


@dataclass(frozen=True)
class CircuitStyle(Output):
    gradient_symmetry: float  # mean cosine over triples (a, b, c), in [-1, 1]
    symmetry_std: float  # over triples
    mismatched_symmetry: float  # the null: a's gradient in one triple with b's in another
    distance_irrelevance: float  # >= 0; near 1: the distance between a and b says nothing of the right logit
    shuffled_irrelevance: float  # the null: the same logits shuffled over the pairs
    distance: Int[np.ndarray, " distance"]  # b - a modulo p
    logit_mean: Float[np.ndarray, " distance"]  # of the right answer, over the pairs of that distance
    logit_std: Float[np.ndarray, " distance"]


def circuit_style(checkpoint: Checkpoint, context: Context, *, n_triples: int = 1000, seed: int = 0) -> CircuitStyle:
    """On the whole grid of pairs, trained on or not."""
    if n_triples < 2:
        raise MiscopeError(f"`n_triples` = {n_triples}; allowed: at least 2.")
    _check_sums(checkpoint, context)
    p, rng = context.basis.size, np.random.default_rng(seed)
    pairs, answers = rng.integers(0, p * p, n_triples), rng.integers(0, p, n_triples)
    gradients = checkpoint.network.embedding_gradients(pairs, answers).astype(np.float64)  # [triple pos d_model]
    is_summand = (context.probe.tokens == summand[:, None] for summand in np.divmod(np.arange(p * p), p))
    of_a, of_b = (gradients[:, match.all(axis=0).tolist().index(True)] for match in is_summand)
    symmetry = _cosines(of_a, of_b)
    right = checkpoint.activations["logits"][np.arange(p * p), context.probe.targets].astype(np.float64)
    by_distance = _by_distance(right.reshape(p, p))
    shuffled = _by_distance(rng.permutation(right).reshape(p, p))
    return CircuitStyle(
        gradient_symmetry=float(symmetry.mean()),
        symmetry_std=float(symmetry.std()),
        mismatched_symmetry=float(_cosines(of_a, np.roll(of_b, 1, axis=0)).mean()),
        distance_irrelevance=_irrelevance(by_distance),
        shuffled_irrelevance=_irrelevance(shuffled),
        distance=np.arange(p),
        logit_mean=by_distance.mean(axis=1),
        logit_std=by_distance.std(axis=1),
    )


def _check_sums(checkpoint: Checkpoint, context: Context) -> None:
    p = context.basis.size
    if not is_square_grid(context.basis, context.grid):
        raise NotApplicable("Clock and pizza are ways to add two tokens, and the probe is no grid of two.")
    by_sum = np.zeros(p, dtype=np.int64)
    a, b = np.divmod(np.arange(p * p), p)
    by_sum[(a + b) % p] = context.probe.targets
    if (by_sum[(a + b) % p] != context.probe.targets).any() or len(np.unique(by_sum)) < p:
        raise NotApplicable(f"Clock and pizza are ways to add, and the answer here is not told by a + b modulo {p}.")
    if checkpoint.model.d_vocab_out < p:
        raise NotApplicable(f"The network has {checkpoint.model.d_vocab_out} outputs, fewer than the {p} sums.")


def _cosines(first: Gradients, second: Gradients) -> Float[np.ndarray, " triple"]:
    """0 where a gradient vanishes."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.divide((first * second).sum(axis=1), norms, out=np.zeros(len(first)), where=norms > 0)


def _by_distance(values: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "distance a"]:
    """The value at (a, a + distance modulo p)."""
    a = np.arange(len(values))
    return values[a[None], (a[None] + a[:, None]) % len(values)]


def _irrelevance(by_distance: Float[np.ndarray, "distance a"]) -> float:
    """Mean over distances of the spread within one, over the spread of all; 0 where nothing varies."""
    whole = float(by_distance.std())
    return float(by_distance.std(axis=1).mean()) / whole if whole > 0 else 0.0


def nulls(style: Artifact[CircuitStyle], context: Context) -> Iterator[Null]:
    """Logits shuffled over pairs. Symmetry tells nothing: an untrained network has 0.99, one that memorises less."""
    yield _of_irrelevance(style.last).of("overview")
    yield from (_of_irrelevance(output).of("distances", step) for step, output in style.items())


def _of_irrelevance(output: CircuitStyle) -> Null:
    """Whether the distance between the summands tells more of the right logit than by chance."""
    value, threshold = output.distance_irrelevance, 1 - MARGIN * (1 - output.shuffled_irrelevance)
    source = f"logits shuffled over the pairs, with a margin of {MARGIN:g}"
    return Null("distance irrelevance", value, threshold, source, "matched", level=None, is_lower=True)


instrument = PerCheckpoint(
    circuit_style,
    needs=("logits", "gradients"),
    measures=lambda x: {"gradient_symmetry": x.gradient_symmetry, "distance_irrelevance": x.distance_irrelevance},
    nulls=nulls,
)
