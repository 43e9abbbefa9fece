r"""At which frequencies the logits vary with the answer: their energy along cos(w_k s), sin(w_k s), w_k = 2 pi k / p.

For a + b, s(a, b) is a + b mod p. Untrained logits have almost no energy along these directions; a network that has
learned modular addition has more than nine tenths of its energy there, at three to six frequencies.

The Outputs suffice to keep or remove any set of frequencies later, as `progress_measures` does.

Maths: $L(x, v)$ is the logit of output $v$ on input $x$ less the mean over $v$, $\bar L(s, v)$ its mean over the $p$
inputs at $s$. `coefficient` is $\hat L = F \bar L$, $F$ the basis, its rows of length 1, $r \in k$ being $\cos k$ and
$\sin k$.
$$\text{share}_k = \frac{p \sum_{r \in k} \lVert \hat L_r \rVert^2}{\sum_{x,v} L(x, v)^2}, \qquad
\text{trig\_share}_k = \frac{p \, \alpha_k^2 \sum_{s,c} \cos^2 w_k (s - c)}{\sum_{x,v} L(x, v)^2},$$
$$\text{trig\_amplitude}_k = \alpha_k = \frac{\sum_{s,c} \bar L(s, c) \cos w_k (s - c)}{\sum_{s,c} \cos^2 w_k (s - c)},
\qquad \text{excluded\_loss}_k = \operatorname{mean}_{x \,\text{train}} \,
H\Bigl(L(x, \cdot) - \sum_{r \in k} F_{r s} \hat L_r\Bigr),$$
$H$ the cross-entropy of these logits with the right answer, in nats; $c$ runs over the outputs that are tokens.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1 (logits as cosines) and section 5.1 (excluded loss).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from miscope.instruments._shared.guessing import z_score
from miscope.instruments._shared.nulls import MARGIN
from miscope.maths.null_distributions import RARE
from miscope.maths.spectra import energy_by_frequency, is_square_grid
from miscope.maths.waves import answer_element, element_means, losses_without
from miscope.plugin import Artifact, Basis, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint


@dataclass(frozen=True)
class LogitSpectra(Output):
    """Of logits less the mean of each input's, which changes no loss."""

    along: str  # what s is: `the answer`, where each row and column of the grid has each answer once; else `a + b`
    is_native: bool  # whether the basis is that of the task's input group; if not, it is the DFT over tokens
    share: Float[np.ndarray, " freq"]  # of the logits' energy along cos and sin(w_k s); they sum to at most 1
    trig_share: Float[np.ndarray, " freq"] | None  # along cos(w_k (s - c)), c the output; None: outputs are no tokens
    trig_amplitude: Float[np.ndarray, " freq"] | None  # that cosine's coefficient, in logits; right answers: positive
    excluded_loss: Float[np.ndarray, " freq"] | None  # train loss in nats without frequency k; None: no train inputs
    coefficient: Float32[np.ndarray, "row vocab"]  # mean logits at each s, transformed: a row per row of the basis


def logit_spectra(checkpoint: Checkpoint, context: Context) -> LogitSpectra:
    """Of the logits at the answer position over all pairs; means and losses in float64."""
    basis, probe = context.basis, context.probe
    if not is_square_grid(basis, context.grid):
        raise NotApplicable(f"The probe is no grid of all pairs of the basis' {basis.size} tokens.")
    logits = checkpoint.activations["logits"]
    logits = logits - logits.mean(axis=1, keepdims=True)
    along, element = answer_element(basis, probe.targets)
    means = element_means(logits, element)
    energy = float(np.einsum("bv,bv->", logits, logits, dtype=np.float64)) / basis.size  # of `means`, if all were there
    amplitude, cosines = _trig_amplitude(basis, means), basis.size / basis.matrix[1::2, 0] ** 2  # and their energy
    coefficient, chosen, rows = basis.matrix @ means, probe.is_train, range(1, basis.size, 2)
    removed = np.stack([basis.matrix[i : i + 2].T @ coefficient[i : i + 2] for i in rows])
    train = logits[chosen], probe.targets[chosen], element[chosen]
    return LogitSpectra(
        along=along,
        is_native=basis.is_native,
        share=_shares(energy_by_frequency(basis, means).sum(axis=1), energy),
        trig_share=None if amplitude is None else _shares(amplitude**2 * cosines, energy),
        trig_amplitude=amplitude,
        excluded_loss=losses_without(*train, removed) if chosen.any() else None,
        coefficient=coefficient.astype(np.float32),
    )


def _shares(energy: Float[np.ndarray, " freq"], total: float) -> Float[np.ndarray, " freq"]:
    return energy / total if total else np.zeros_like(energy)


def _trig_amplitude(basis: Basis, means: Float[np.ndarray, "element vocab"]) -> Float[np.ndarray, " freq"] | None:
    """Coefficients of cos(w_k (s - c)) in the mean logits at s for the output c; orthogonal, so each by itself."""
    if means.shape[1] < basis.size:
        return None
    both = np.einsum("rs,sc,rc->r", basis.matrix, means[:, : basis.size], basis.matrix, optimize=True)
    return np.add.reduceat(both, np.arange(1, basis.size, 2)) / basis.size


def nulls(spectra: Artifact[LogitSpectra], context: Context) -> Iterator[Null]:
    """Logits of noise, and what most frequencies cost."""
    last, size, n = spectra.last, context.basis.size, len(spectra)
    yield of_noise("largest share of one frequency at the end", last.share.max(), size).of("overview")
    yield _of_excluded(last.excluded_loss).of("excluded")
    for step, output in spectra.items():
        yield of_noise("largest share of one frequency", output.share.max(), size, n_comparisons=n).of("spectrum", step)


def of_noise(statistic: str, share: float, size: int, n_frequencies: int = 1, n_comparisons: int = 1) -> Null:
    """The null of the share of the logits' energy that so many frequencies have."""
    threshold = n_frequencies * share_of_noise(size, n_comparisons)
    return Null(statistic, float(share), threshold, "99 % of logits of noise", unit="share")


def share_of_noise(size: int, n_comparisons: int = 1) -> float:
    """The share of the logits' energy that no frequency has with a probability of 99 %, if they are white noise.

    Noise over size^2 inputs has a beta distributed share in a frequency's two directions: wide where all outputs follow
    one function of the inputs, as is taken here, and narrower where they are many.
    """
    rare = RARE / (n_comparisons * (size // 2))
    return float(1 - rare ** (2 / (size**2 - 2)))


def _of_excluded(losses: Float[np.ndarray, " freq"] | None) -> Null:
    """The worst frequency against the spread of all, by their median absolute deviation, which a few keys leave."""
    if losses is None:
        return Null.absent("the probe has no training inputs, on which the excluded loss is taken")
    logs = np.log(np.maximum(losses, np.finfo(np.float64).tiny))
    spread = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    threshold = float(np.exp(np.median(logs) + max(z_score(len(logs)) * spread, np.log(MARGIN))))
    source = f"99 % of the cost of the others, or {MARGIN:g} times their median"
    return Null("train loss without the worst frequency", float(losses.max()), threshold, source)


instrument = PerCheckpoint(
    logit_spectra, needs=("logits",), measures=lambda output: {"largest_share": float(output.share.max())}, nulls=nulls
)
