r"""What each MLP neuron reads of the tokens and writes to the outputs, as waves: amplitude and phase by frequency.

theta(x) = W_E W_V W_O W_in is what a neuron reads of token x through heads that attend to it, xi(c) = W_out W_U what it
writes to output c. A wave is A cos(2 pi k x / p + phi). A neuron that multiplies cos(w a + phi) and cos(w b + phi) must
write cos(w c + 2 phi). Trained neurons have one frequency, the same for reading and writing, and |2 phi - psi| near 0;
random phases have pi / 2 on average.

In a transformer whose answer position holds no summand, theta straight through W_E W_in (setting `path: direct`) is
used by nothing, and shows none of this.

Maths: over the $p$ tokens, with heads $h$ and $w_k = 2 \pi k / p$; a column of $\theta$ and a row of $\xi$ for each
neuron; the factor is $\tfrac{1}{p}$ at $k = p / 2$.
$$\theta = W_E \Bigl(\sum_h W_V^h W_O^h\Bigr) W_{in}, \qquad \xi = W_{out} W_U, \qquad
A_k e^{i \varphi_k} = \tfrac{2}{p} \sum_x \theta(x) \, e^{-i w_k x}.$$
$\psi_k$ is the phase of $\xi$, $q_k$ the share of $\sum_x (\theta(x) - \bar\theta)^2$ that is at $k$, and $k^*$
`read_frequency`,
$$k^* = \arg\max_k q_k, \qquad \text{read\_share} = q_{k^*}, \qquad \text{read\_concentration} = \sum_k q_k^2, \qquad
\text{misalignment} = \bigl\lvert 2 \varphi_{k^*} - \psi_{k^*} \bigr\rvert \text{ on the circle}.$$
`read_phase` is $\varphi_{k^*}$, `write_phase` $\psi_{k^*}$, `read_amplitude` $\max_k A_k$. The waves of every $k$ are
codes: $A_k$ is `read_amplitude` times `read_amplitude_code` / 255, $\varphi_k$ is $2 \pi$ `read_phase_code` / 256.

Source: Gromov 2023, arXiv:2301.02679 (weights and phases of the exact solution; inverse participation ratio); He et
al. 2026, arXiv:2602.16849 (phase alignment). Both are of networks without attention, where theta is the first layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8

from miscope.instruments._shared.frequencies import check_basis, neuron_reads, of_neurons
from miscope.maths.null_distributions import least_median_angle
from miscope.maths.spectra import Basis, energy_by_frequency
from miscope.maths.waves import phase_difference, waves
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, NotApplicable, Null, Output, PerCheckpoint

PATHS = ("heads", "direct")
PerNeuron = Float32[np.ndarray, "layer neuron"]
Waves = Float[np.ndarray, "layer neuron freq"]
Codes = UInt8[np.ndarray, "layer neuron freq"]


@dataclass(frozen=True)
class NeuronFourier(Output):
    """Of theta (read) and xi (write); the `write` fields are None where outputs are not tokens of the basis."""

    path: str  # how theta gets to the neuron: through the `heads` of its layer, or `direct`
    is_native: bool  # whether the basis is that of the task's input group; if not, it is the DFT over tokens
    read_frequency: Int32[np.ndarray, "layer neuron"]  # k of the most energy; 0: nothing varies
    read_share: PerNeuron  # its share of the energy, the constant left out; in [0, 1]
    read_concentration: PerNeuron  # inverse participation ratio of the shares, 1 / n_f to 1
    read_amplitude: PerNeuron  # the largest of any k, >= 0, in units of the pre-activation
    read_phase: PerNeuron  # phi at `read_frequency` in radians, in [-pi, pi]
    read_amplitude_code: Codes  # in 255ths of `read_amplitude`
    read_phase_code: Codes  # in 256ths of a turn
    write_frequency: Int32[np.ndarray, "layer neuron"] | None
    write_share: PerNeuron | None
    write_amplitude: PerNeuron | None  # in logits per unit of activation
    write_phase: PerNeuron | None  # psi at `read_frequency`, as that is what has to fit
    write_amplitude_code: Codes | None
    write_phase_code: Codes | None
    misalignment: PerNeuron | None  # |2 phi - psi| at `read_frequency`, in [0, pi]; NaN: no wave


def neuron_fourier(checkpoint: Checkpoint, context: Context, *, path: str = "heads") -> NeuronFourier:
    """Layer by layer, each as if it alone stood between the embedding and the unembedding; norms are left out."""
    basis, weights, model = context.basis, checkpoint.weights, checkpoint.model
    if path not in PATHS:
        raise MiscopeError(f"`path` = {path!r}; allowed: {' or '.join(PATHS)}.")
    if not model.d_mlp:
        raise NotApplicable("The model has no MLP, and so no neurons.")
    check_basis(basis, weights["embed.W_E"])
    has_heads, layers = path == "heads" and "blocks.0.attn.W_V" in weights, range(model.n_layers)
    read = _side(basis, [neuron_reads(weights, i, basis.size, has_heads=has_heads) for i in layers])
    write = misalignment = None
    outputs = weights["unembed.W_U"][:, : basis.size].astype(np.float64).T
    if len(outputs) == basis.size:
        write = _side(basis, [outputs @ weights[f"blocks.{i}.mlp.W_out"].astype(np.float64).T for i in layers])
        phi, psi, *sizes = (_at(x, read.frequency) for x in (read.phase, write.phase, read.amplitude, write.amplitude))
        misalignment = np.where((sizes[0] > 0) & (sizes[1] > 0), phase_difference(2 * phi, psi), np.nan)
    return NeuronFourier(
        path="heads" if has_heads else "direct",
        is_native=basis.is_native,
        read_concentration=(read.share**2).sum(axis=-1).astype(np.float32),
        misalignment=None if misalignment is None else misalignment.astype(np.float32),
        **_stored("read", read, read.frequency),
        **_stored("write", write, read.frequency),
    )


class _Side(NamedTuple):
    """One end of the neurons, float64."""

    amplitude: Waves
    phase: Waves
    share: Waves  # of the energy without the constant; 0: nothing varies
    frequency: Int[np.ndarray, "layer neuron"]


def _stored(end: str, side: _Side | None, frequency: Int[np.ndarray, "layer neuron"]) -> dict[str, Any]:
    """The fields of one end; the phase is that at `frequency`."""
    if side is None:
        names = ("frequency", "share", "amplitude", "phase", "amplitude_code", "phase_code")
        return {f"{end}_{name}": None for name in names}
    largest = side.amplitude.max(axis=-1, keepdims=True)
    levels = np.divide(side.amplitude, largest, out=np.zeros_like(side.amplitude), where=largest > 0)
    return {
        f"{end}_frequency": side.frequency.astype(np.int32),
        f"{end}_share": side.share.max(axis=-1).astype(np.float32),
        f"{end}_amplitude": largest[..., 0].astype(np.float32),
        f"{end}_phase": _at(side.phase, frequency).astype(np.float32),
        f"{end}_amplitude_code": np.rint(255 * levels).astype(np.uint8),
        f"{end}_phase_code": (np.rint(side.phase * 128 / np.pi) % 256).astype(np.uint8),
    }


def _at(values: Waves, frequency: Int[np.ndarray, "layer neuron"]) -> Float[np.ndarray, "layer neuron"]:
    """The value of each neuron at a frequency of its own; at the first where it has none."""
    return np.take_along_axis(values, np.maximum(frequency - 1, 0)[..., None], axis=-1)[..., 0]


def _side(basis: Basis, layers: list[Float[np.ndarray, "token neuron"]]) -> _Side:
    n_layers, n_neurons = len(layers), layers[0].shape[1]
    columns = np.concatenate(layers, axis=1)
    fitted, energy = waves(basis, columns), energy_by_frequency(basis, columns)
    total = energy.sum(axis=0)
    share = np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
    amplitude, phase, shares = (
        x.reshape(-1, n_layers, n_neurons).transpose(1, 2, 0) for x in (fitted.amplitude, fitted.phase, share)
    )
    return _Side(amplitude, phase, shares, np.where(shares.any(axis=-1), shares.argmax(axis=-1) + 1, 0))


def measures(output: NeuronFourier) -> dict[str, float]:
    """Of the median neuron, the share that it reads and writes at one frequency."""
    written = {} if output.write_share is None else {"median_write_share": float(np.median(output.write_share))}
    return {"median_read_share": float(np.median(output.read_share))} | written


def nulls(neurons: Artifact[NeuronFourier], context: Context) -> Iterator[Null]:
    """Random functions of a token, and random phases; none of the latter where the outputs are not tokens."""
    statistic, last = "share that the median neuron reads at one frequency", neurons.last
    yield of_neurons(statistic, last.read_share, context.basis.n_frequencies).of("overview")
    if last.misalignment is not None:
        yield _of_phases(last.misalignment).of("alignment")
    for step, output in neurons.items():
        for layer, misalignment in enumerate(() if output.misalignment is None else output.misalignment):
            yield _of_phases(misalignment).of("phases", step, layer=layer)


def _of_phases(misalignment: Float32[np.ndarray, "*neuron"]) -> Null:
    """The median of the neurons' |2 phi - psi|; those without a wave are left out."""
    known = misalignment[~np.isnan(misalignment)]
    median, threshold = (float(np.median(known)), least_median_angle(known.size)) if known.size else (np.nan, np.nan)
    statistic, source = "the median neuron's |2 phi - psi|", "99 % of random phases"
    return Null(statistic, median, threshold, source, "matched", is_lower=True, unit="radians")


instrument = PerCheckpoint(neuron_fourier, measures=measures, nulls=nulls)
