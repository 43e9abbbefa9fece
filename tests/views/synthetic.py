"""Outputs made up for views: p = 13, six unevenly spaced checkpoints, one layer of eight neurons and two heads."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from miscope.analyzers.attention_patterns import AttentionPatterns
from miscope.analyzers.dominant_frequencies import DominantFrequencies
from miscope.analyzers.losses import Losses
from miscope.analyzers.neuron_activations import NeuronActivations
from miscope.analyzers.neuron_spectra import NeuronSpectra
from miscope.analyzers.singular_values import SingularValues
from miscope.core import Artifact, Context, Output, Probe, View
from miscope.maths.spectra import Basis
from miscope.trackers.neuron_dynamics import NeuronDynamics
from miscope.trackers.parameter_trajectory import ParameterTrajectory
from miscope.trackers.phases import Phases

P, STEPS, NEURONS, HEADS = 13, (0, 100, 200, 500, 900, 1000), 8, 2
N_FREQ = P // 2


def context(*, is_grid: bool = True) -> Context:
    a, b = np.divmod(np.arange(P * P), P)
    tokens = np.stack([a, b, np.full(P * P, P)], axis=1)
    probe = Probe(tokens, (a + b) % P, np.arange(P * P) % 3 == 0)
    grid: dict[str, Any] = {"grid": (P, P), "grid_axes": ("a", "b")} if is_grid else {}
    return Context(probe, 2, Basis("fourier", P), position_names=("a", "b", "="), **grid)


def sources() -> Mapping[str, Any]:
    """Instrument -> what its views read: an Artifact, or a tracker's one Output."""
    makers = {
        "losses": losses,
        "dominant_frequencies": dominant_frequencies,
        "neuron_activations": neuron_activations,
        "neuron_spectra": neuron_spectra,
        "attention_patterns": attention_patterns,
        "singular_values": singular_values,
    }
    stored = {name: {step: make(step) for step in STEPS} for name, make in makers.items()}
    artifacts = {name: Artifact[Output](STEPS, outputs.__getitem__) for name, outputs in stored.items()}
    return {
        **artifacts,
        "parameter_trajectory": parameter_trajectory(),
        "neuron_dynamics": neuron_dynamics(),
        "phases": phases(),
    }


def losses(step: int) -> Losses:
    rng, done = np.random.default_rng(step), step / STEPS[-1]
    accuracy = np.linspace(0, 1, P) * done
    accuracy[3] = np.nan
    return Losses(
        train_loss=2.5 * 0.01**done, test_loss=2.5 + done - 3 * done**4, all_loss=2.5, train_accuracy=done,
        test_accuracy=done**3, all_accuracy=done**2, class_accuracy=accuracy, train_margin_mean=done,
        train_margin_min=-1 + done, test_margin_mean=-done, test_margin_min=-2 * done,
        is_correct=rng.random(P * P) < done, confidence=rng.random(P * P).astype(np.float16),
        is_train=context().probe.is_train,
    )  # fmt: skip


def dominant_frequencies(step: int) -> DominantFrequencies:
    rows = np.full(P, 0.1)
    rows[[5, 6]] = 0.1 + step / 500  # frequency 3
    power = (rows[1:] ** 2).reshape(N_FREQ, 2).sum(axis=1)
    power /= power.sum()
    return DominantFrequencies(
        frequency=np.arange(1, N_FREQ + 1), row_norm=rows, power=power, is_dominant=power > 3 / N_FREQ, gini=0.2,
        inverse_participation_ratio=float((power**2).sum()), unembedding_power=power[::-1].copy(),
    )  # fmt: skip


def neuron_activations(step: int) -> NeuronActivations:
    a, b = np.divmod(np.arange(P * P), P)
    k = 1 + np.arange(NEURONS) % 3
    waves = np.cos(2 * np.pi * k[:, None] * a / P) + np.cos(2 * np.pi * k[:, None] * b / P)
    return NeuronActivations(activation=np.maximum(waves * (step + 1) / 1000, 0).astype(np.float32)[None])


def neuron_spectra(step: int) -> NeuronSpectra:
    fraction = np.random.default_rng(step).dirichlet(np.ones(N_FREQ) * (1.1 - step / 1000), (1, NEURONS))
    peak = fraction.max(axis=2)
    level = np.array([0.7, 0.9])
    return NeuronSpectra(
        fraction=fraction.astype(np.float32), peak_frequency=fraction.argmax(axis=2) + 1,
        peak_fraction=peak.astype(np.float32), low_fraction=fraction[:, :, :3].sum(axis=2).astype(np.float32),
        level=level, n_specialised=(peak[:, :, None] >= level).sum(axis=1),
    )  # fmt: skip


def attention_patterns(step: int) -> AttentionPatterns:
    rng = np.random.default_rng(step)
    mean = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None] * np.ones((1, HEADS, 1, 1))
    return AttentionPatterns(
        mean=mean, std=mean / 10, answer_pattern=rng.random((1, HEADS, 3, P * P)).astype(np.float16),
        map_fraction=rng.dirichlet(np.ones(N_FREQ), (1, HEADS, 3)).astype(np.float32),
    )  # fmt: skip


def singular_values(step: int) -> SingularValues:
    names = ("embed.W_E", "blocks.0.attn.W_Q.0", "blocks.0.attn.W_Q.1", "blocks.0.mlp.W_in", "unembed.W_U")
    value = np.sort(np.random.default_rng(step).random((len(names), 6)), axis=1)[:, ::-1].copy()
    value[1:3, 4:] = np.nan
    norms = np.sqrt(np.nansum(value**2, axis=1))
    ratio = np.nansum(value, axis=1) ** 2 / norms**2
    return SingularValues(names, value, ratio, ratio + 0.5, value[:, 0], norms)


def parameter_trajectory() -> ParameterTrajectory:
    n, group = len(STEPS), ("all", "embedding", "attention", "mlp")
    rng = np.random.default_rng(0)
    shares = np.array([0.6, 0.25, 0.1, 0.03, 0.02])
    return ParameterTrajectory(
        steps=np.array(STEPS), group=group, coordinate=rng.normal(size=(4, n, 5)),
        explained_variance=np.tile(shares, (4, 1)), speed=rng.random((4, n - 1)) + 0.1,
        turning=rng.uniform(-1, 1, (4, n - 2)), distance=np.cumsum(rng.random((4, n)), axis=1),
        loop_area=np.ones(4), random_walk_variance=6 / (np.pi * np.arange(1, 6)) ** 2, proximity=np.eye(4),
    )  # fmt: skip


def neuron_dynamics() -> NeuronDynamics:
    found = [neuron_spectra(step) for step in STEPS]
    peaks = np.stack([output.peak_frequency for output in found])
    counts = np.stack([np.bincount(p[0], minlength=N_FREQ + 1)[None, 1:] for p in peaks])
    commitment = np.full((1, NEURONS), 500.0)
    commitment[0, 0] = np.nan
    return NeuronDynamics(
        steps=np.array(STEPS), peak_frequency=peaks, peak_fraction=np.stack([o.peak_fraction for o in found]),
        commitment_step=commitment, n_switches=np.arange(NEURONS)[None] % 3, neurons_per_frequency=counts,
        concentration=np.linspace(0.2, 1, len(STEPS))[:, None], is_transient=np.arange(N_FREQ)[None] == 1, level=0.7,
    )  # fmt: skip


def phases() -> Phases:
    return Phases(
        steps=np.array(STEPS), phase=("memorisation", "plateau", "circuit formation"),
        phase_start=np.array([0, 100, 500]), phase_end=np.array([100, 500, 1000]), memorised_step=100,
        test_peak_step=None, onset_step=900, solved_step=None, grokked_step=None, crossover_step=200,
        verdict="continue", reasons=("The test loss still falls.",),
    )  # fmt: skip


def table_of(view: View, sources: Mapping[str, Any], context: Context, step: int = 500, **options: Any) -> Any:
    """What a view's table is on the synthetic outputs."""
    first = (sources[view.name.partition(".")[0]], context)
    return view.table(*first, step, **options) if view.is_per_step else view.table(*first, **options)
