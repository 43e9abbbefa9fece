r"""The frequency of each MLP neuron: the share of its variance over the (a, b) grid at each frequency.

At initialisation no neuron exceeds 0.7. In a network that has learned modular addition most neurons do, each at one of
three to six key frequencies; they specialise late, during cleanup.

Maths: $M$ is a neuron's activations over $(a, b)$ less their mean, $F$ the basis with rows of length 1, $C_k$ the cells
whose row and column both are constant, $\cos k$ or $\sin k$.
$$\text{fraction}_k = \frac{\sum_{(r,s) \in C_k} \hat M_{rs}^2}{\sum_{r,s} \hat M_{rs}^2}, \qquad
\hat M = F M F^\top.$$
`peak_fraction` is the largest, `peak_frequency` its $k$, `low_fraction` the sum over $k \le$ `low_frequencies`;
`n_specialised` counts neurons whose peak fraction is at least the level.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 (85 % there; 0.7 and 0.9 here are settings).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float16, Float32, Int

from miscope.instruments._shared.frequencies import RANDOM, TUNED, of_neurons, of_specialised
from miscope.maths.null_distributions import share_of_some
from miscope.maths.spectra import grid_variance_fractions, is_square_grid
from miscope.plugin import Artifact, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

LOWEST = 3  # frequencies that are coarse
MEDIAN = "the median neuron's share at its best frequency"


@dataclass(frozen=True)
class NeuronSpectra(Output):
    fraction: Float16[np.ndarray, "layer neuron freq"]  # share of variance at k = 1 .. n_f; sums to at most 1
    peak_frequency: Int[np.ndarray, "layer neuron"]  # k of the largest fraction, from 1; 0: the neuron does not vary
    peak_fraction: Float32[np.ndarray, "layer neuron"]  # in [0, 1]
    low_fraction: Float32[np.ndarray, "layer neuron"]  # coarseness: sum over k = 1 .. low_frequencies, in [0, 1]
    level: Float[np.ndarray, " level"]  # peak fractions from which a neuron counts as specialised
    n_specialised: Int[np.ndarray, "layer level"]


Spectra = Artifact[NeuronSpectra]


def neuron_spectra(
    checkpoint: Checkpoint, context: Context, *, levels: tuple[float, ...] = (0.7, 0.9), low_frequencies: int = 3
) -> NeuronSpectra:
    """Variance fractions of `mlp.hook_post` at the answer position."""
    if not is_square_grid(context.basis, context.grid):
        raise NotApplicable(f"The probe is no grid of all pairs of the basis' {context.basis.size} tokens.")
    if not checkpoint.model.d_mlp:
        raise NotApplicable("The model has no MLP, and so no neurons.")
    posts = checkpoint.layers("mlp.hook_post")
    fraction = np.stack([grid_variance_fractions(context.basis, post) for post in posts])
    peak = fraction.max(axis=-1)
    return NeuronSpectra(
        fraction=fraction.astype(np.float16),
        peak_frequency=np.where(peak > 0, fraction.argmax(axis=-1) + 1, 0).astype(np.int32),
        peak_fraction=peak,
        low_fraction=fraction[..., :low_frequencies].sum(axis=-1),
        level=np.asarray(levels, dtype=np.float64),
        n_specialised=(peak[..., None] >= np.asarray(levels)).sum(axis=1),
    )


def nulls(spectra: Spectra, context: Context) -> Iterator[Null]:
    """Random functions of a token, and as many neurons that are some."""
    last, n_freq = spectra.last, context.basis.n_frequencies
    n_tuned = int(last.n_specialised[:, 0].sum())
    yield of_specialised(TUNED, n_tuned, last.peak_fraction.size, float(last.level[0]), n_freq).of("overview")
    height = float(np.median(spectra.stack("low_fraction"), axis=2).max())  # at the step and in the layer where it is
    statistic = f"the median neuron's share at k = 1 to {LOWEST}, at its maximum,"
    lowest = share_of_some(min(LOWEST, n_freq), n_freq)
    yield Null(statistic, height, lowest, RANDOM, "matched", unit="share").of("low_frequency")
    for step, output in spectra.items():
        yield of_neurons(MEDIAN, output.peak_fraction, n_freq).of("peak_fractions", step)
        for layer, peaks in enumerate(output.peak_fraction):
            yield of_neurons(MEDIAN, peaks, n_freq).of("clusters", step, layer=layer)
        for level in output.level.tolist():
            yield null_of_population(output, level).of("population", step, level=level)


def null_of_population(output: NeuronSpectra, level: float) -> Null:
    """The frequency with most neurons of that level, by as many random ones at any frequency."""
    peaks = np.where(output.peak_fraction >= level, output.peak_frequency, 0)
    largest = max(int(np.bincount(layer, minlength=2)[1:].max()) for layer in peaks)
    return of_specialised("neurons tuned to the same frequency", largest, peaks.size, level, output.fraction.shape[2])


instrument = PerCheckpoint(
    neuron_spectra,
    needs=("mlp.hook_post",),
    measures=lambda output: {
        "median_peak_fraction": float(np.median(output.peak_fraction)),
        "share_specialised": float(output.n_specialised[:, 0].sum() / output.peak_fraction.size),
    },
    nulls=nulls,
)
