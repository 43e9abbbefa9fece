r"""When neurons choose their frequency, how often they change it, and which frequencies win and lose neurons.

In a grokking run commitment is late and near the onset, few neurons switch after it, and the counts end concentrated on
three to six frequencies. A neuron that never passes three times the even share has committed to nothing.

Maths: at step $t$ a neuron has the peak frequency $k(t)$ of $n_f$ and the peak fraction $f(t)$; $T$ is the last step.
$$\text{commitment\_step} = \min \{\, t : k(t') = k(T) \text{ and } f(t') > 3 / n_f \text{ for all } t' \ge t \,\}.$$
`n_switches` counts, among the steps with $f > 3 / n_f$ alone, how often $k$ is another than at the one before. With
$N_k(t)$ the neurons of a layer's $n$ with peak frequency $k$ and $f \ge$ `level` (`neurons_per_frequency`),
$$\text{concentration} = \sum_k \Bigl(\frac{N_k}{\sum_j N_j}\Bigr)^2, \qquad
\text{is\_transient}_k : \ \max_t N_k(t) \ge \tau n > N_k(T), \qquad \tau = \text{transient\_share}.$$

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 (neuron clusters); commitment and switches are ours.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from miscope.analyzers import neuron_spectra
from miscope.analyzers.neuron_spectra import NeuronSpectra
from miscope.core import Context
from miscope.instrument import Artifact, Output, OverTraining
from miscope.maths.statistics import herfindahl, lasting_from


@dataclass(frozen=True)
class NeuronDynamics(Output):
    steps: Int[np.ndarray, " n"]
    peak_frequency: Int[np.ndarray, "n layer neuron"]  # k from 1; 0: the neuron does not vary
    peak_fraction: Float32[np.ndarray, "n layer neuron"]  # share of its variance, in [0, 1]
    commitment_step: Float[np.ndarray, "layer neuron"]  # from where its final k holds, above 3 / n_f; NaN: never
    n_switches: Int[np.ndarray, "layer neuron"]  # changes of k between checkpoints where it is above 3 / n_f
    neurons_per_frequency: Int[np.ndarray, "n layer freq"]  # neurons whose peak fraction reaches `level`, k = 1 .. n_f
    concentration: Float[np.ndarray, "n layer"]  # Herfindahl index of those counts, 1 / n_f to 1; NaN: no such neuron
    is_transient: Bool[np.ndarray, "layer freq"]  # reached 5 % of the neurons at some step, has fewer at the end
    level: float  # the peak fraction from which a neuron counts


def neuron_dynamics(
    spectra: Artifact[NeuronSpectra], context: Context, *, level: float = 0.7, transient_share: float = 0.05
) -> NeuronDynamics:
    """Follows each neuron's peak frequency from checkpoint to checkpoint."""
    steps = np.array(spectra.steps, dtype=np.int64)
    peaks = [(spectrum.peak_frequency, spectrum.peak_fraction) for spectrum in spectra.values()]
    frequency, fraction = (np.stack(found) for found in zip(*peaks, strict=True))
    n_frequencies = context.basis.n_frequencies
    is_tuned = fraction > 3 / n_frequencies
    counts = _counts(np.where(fraction >= level, frequency, 0), n_frequencies)
    has_many = counts >= transient_share * frequency.shape[2]
    return NeuronDynamics(
        steps=steps,
        peak_frequency=frequency,
        peak_fraction=fraction,
        commitment_step=_commitment_step(steps, frequency, is_tuned),
        n_switches=_n_switches(frequency, is_tuned),
        neurons_per_frequency=counts,
        concentration=herfindahl(counts),
        is_transient=has_many.any(axis=0) & ~has_many[-1],
        level=level,
    )


def _counts(frequency: Int[np.ndarray, "n layer neuron"], n_frequencies: int) -> Int[np.ndarray, "n layer freq"]:
    """Neurons at each k = 1 .. n_f; k = 0 is not counted."""
    n, layers, _ = frequency.shape
    cell = np.arange(n * layers).reshape(n, layers, 1) * (n_frequencies + 1) + frequency
    counts = np.bincount(cell.ravel(), minlength=n * layers * (n_frequencies + 1))
    return counts.reshape(n, layers, n_frequencies + 1)[..., 1:]


def _commitment_step(
    steps: Int[np.ndarray, " n"],
    frequency: Int[np.ndarray, "n layer neuron"],
    is_tuned: Bool[np.ndarray, "n layer neuron"],
) -> Float[np.ndarray, "layer neuron"]:
    first = lasting_from(is_tuned & (frequency == frequency[-1]))
    return np.append(steps.astype(np.float64), np.nan)[first]


def _n_switches(
    frequency: Int[np.ndarray, "n layer neuron"], is_tuned: Bool[np.ndarray, "n layer neuron"]
) -> Int[np.ndarray, "layer neuron"]:
    """Checkpoints at which a neuron is tuned to another k than when it was last tuned."""
    last, switches = np.zeros_like(frequency[0]), np.zeros(frequency.shape[1:], dtype=np.int64)
    for current, tuned in zip(frequency, is_tuned, strict=True):
        switches += tuned & (last > 0) & (current != last)
        last = np.where(tuned, current, last)
    return switches


def measures(found: NeuronDynamics) -> dict[str, np.ndarray]:
    """How few frequencies the neurons gather at, by layer."""
    return {f"concentration of layer {i}": of for i, of in enumerate(found.concentration.T)}


analyzer = OverTraining(neuron_dynamics, needs=(neuron_spectra.analyzer,), measures=measures)
