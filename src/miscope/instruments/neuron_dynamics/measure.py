r"""When neurons choose their frequency, how often they change it, and which frequencies gain and lose neurons.

In a grokking run neurons commit late, near the onset; few switch afterwards, and three to six frequencies keep neurons.
A neuron that never exceeds three times the even share has committed to no frequency.

Maths: at step $t$ a neuron has the peak frequency $k(t)$ of $n_f$ and the peak fraction $f(t)$; $T$ is the last step.
$$\text{commitment\_step} = \min \{\, t : k(t') = k(T) \text{ and } f(t') > 3 / n_f \text{ for all } t' \ge t \,\}.$$
`n_switches` counts, among the steps with $f > 3 / n_f$ alone, how often $k$ is another than at the one before. With
$N_k(t)$ the neurons of a layer's $n$ with peak frequency $k$ and $f \ge$ `level` (`neurons_per_frequency`),
$$\text{concentration} = \sum_k \Bigl(\frac{N_k}{\sum_j N_j}\Bigr)^2, \qquad
\text{is\_transient}_k : \ \max_t N_k(t) \ge \tau n > N_k(T), \qquad \tau = \text{transient\_share}.$$

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 (neuron clusters); commitment and switches are ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from miscope.instrument import in_words
from miscope.instruments._shared.frequencies import TUNED, of_count, of_specialised
from miscope.instruments.neuron_spectra.measure import NeuronSpectra
from miscope.instruments.neuron_spectra.measure import instrument as neuron_spectra
from miscope.maths.null_distributions import RARE, binomial_quantile, concentration, largest_share
from miscope.maths.statistics import herfindahl, lasting_from
from miscope.plugin import Artifact, Context, Null, Output, OverTraining

Peaks = Int[np.ndarray, "n layer neuron"]


@dataclass(frozen=True)
class NeuronDynamics(Output):
    steps: Int[np.ndarray, " n"]
    peak_frequency: Peaks  # k from 1; 0: the neuron does not vary
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
    frequency, fraction = (np.stack(values) for values in zip(*peaks, strict=True))
    n_frequencies = context.basis.n_frequencies
    is_tuned = fraction > 3 / n_frequencies
    counts = _counts(np.where(fraction >= level, frequency, 0), n_frequencies)
    has_many = counts >= transient_share * frequency.shape[2]
    committed = lasting_from(is_tuned & (frequency == frequency[-1]))
    return NeuronDynamics(
        steps=steps,
        peak_frequency=frequency,
        peak_fraction=fraction,
        commitment_step=np.append(steps.astype(np.float64), np.nan)[committed],
        n_switches=_n_switches(frequency, is_tuned),
        neurons_per_frequency=counts,
        concentration=herfindahl(counts),
        is_transient=has_many.any(axis=0) & ~has_many[-1],
        level=level,
    )


def _counts(frequency: Peaks, n_frequencies: int) -> Int[np.ndarray, "n layer freq"]:
    """Neurons at each k = 1 .. n_f; k = 0 is not counted."""
    n, layers, _ = frequency.shape
    cell = np.arange(n * layers).reshape(n, layers, 1) * (n_frequencies + 1) + frequency
    counts = np.bincount(cell.ravel(), minlength=n * layers * (n_frequencies + 1))
    return counts.reshape(n, layers, n_frequencies + 1)[..., 1:]


def _n_switches(frequency: Peaks, is_tuned: Bool[np.ndarray, "n layer neuron"]) -> Int[np.ndarray, "layer neuron"]:
    """Checkpoints at which a neuron is tuned to another k than when it was last tuned."""
    last, switches = np.zeros_like(frequency[0]), np.zeros(frequency.shape[1:], dtype=np.int64)
    for current, tuned in zip(frequency, is_tuned, strict=True):
        switches += tuned & (last > 0) & (current != last)
        last = np.where(tuned, current, last)
    return switches


def nulls(dynamics: NeuronDynamics, context: Context) -> Iterator[Null]:
    """Neurons that are random functions of a token, drawn anew at each checkpoint."""
    n_freq, last = context.basis.n_frequencies, dynamics.peak_fraction[-1]
    for layer, counts in enumerate(dynamics.neurons_per_frequency[-1]):
        n_tuned, n = int(counts.sum()), last.shape[1]
        yield of_specialised(TUNED, n_tuned, n, dynamics.level, n_freq).of("overview", layer=layer)
        yield _of_tuned(last[layer], n_freq).of("peaks", layer=layer)
    yield _of_tuned(last, n_freq).of("commitment")
    yield _of_concentration(dynamics).of("concentration")
    yield _of_switches(dynamics, n_freq).of("switches")


def _of_tuned(peak_fraction: Float32[np.ndarray, "*neuron"], n_frequencies: int) -> Null:
    """How many neurons have a larger share at one frequency than 99 % of random ones."""
    level = largest_share(n_frequencies)
    statistic = f"neurons that end tuned to one frequency (above {in_words(level, 'share')})"
    return of_count(statistic, int((peak_fraction > level).sum()), peak_fraction.size, RARE)


def _of_concentration(dynamics: NeuronDynamics) -> Null:
    """Of the layer with most tuned neurons at the end: few neurons are on few frequencies by chance."""
    counts = dynamics.neurons_per_frequency[-1]
    layer, n_freq = int(counts.sum(axis=1).argmax()), counts.shape[1]
    n, value = int(counts[layer].sum()), float(dynamics.concentration[-1, layer])
    if not n:
        return of_specialised(TUNED, 0, dynamics.peak_frequency[-1].size, dynamics.level, n_freq)
    source = f"99 % of sets of {n:,} neurons at random frequencies"
    return Null("concentration", value, concentration(n, n_freq), source, "matched")


def _of_switches(dynamics: NeuronDynamics, n_frequencies: int) -> Null:
    """Switches between two frequencies that each have more than 99 % of random ones; chance may pass that twice."""
    n_steps, n = len(dynamics.steps), dynamics.peak_frequency[0].size
    k = np.where(dynamics.peak_fraction > largest_share(n_frequencies), dynamics.peak_frequency, 0)
    last, first = k.max(axis=0), np.where(k > 0, k, n_frequencies + 1).min(axis=0)
    once = n_steps * RARE * (1 - RARE) ** (n_steps - 1)
    threshold = binomial_quantile(n, 1 - (1 - RARE) ** n_steps - once)
    source = "99 % of networks drawn at random at each checkpoint"
    return Null("neurons that switch while tuned", int((first < last).sum()), threshold, source, "matched")


instrument = OverTraining(
    neuron_dynamics,
    needs=(neuron_spectra,),
    measures=lambda output: {f"concentration of layer {i}": x for i, x in enumerate(output.concentration.T)},
    nulls=nulls,
)
