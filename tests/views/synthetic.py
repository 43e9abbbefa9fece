"""Outputs made up for views: p = 13, six unevenly spaced checkpoints, one layer of eight neurons and two heads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from miscope.analyzers.losses import Losses
from miscope.trackers.parameter_trajectory import ParameterTrajectory

from miscope.analyzers import representation_geometry as geometry_file
from miscope.analyzers import representations as representations_file
from miscope.analyzers.attention_patterns import AttentionPatterns
from miscope.analyzers.attention_spectra import AttentionSpectra
from miscope.analyzers.circuit_style import CircuitStyle
from miscope.analyzers.composition_scores import CompositionScores
from miscope.analyzers.dominant_frequencies import DominantFrequencies
from miscope.analyzers.gradient_spectra import GradientSpectra
from miscope.analyzers.head_scores import HeadScores
from miscope.analyzers.linear_probes import LinearProbes
from miscope.analyzers.local_learning_coefficient import LocalLearningCoefficient
from miscope.analyzers.logit_difference import LogitDifference
from miscope.analyzers.logit_lens import LogitLens
from miscope.analyzers.logit_spectra import LogitSpectra
from miscope.analyzers.loss_by_position import LossByPosition
from miscope.analyzers.loss_landscape import LossLandscape
from miscope.analyzers.neuron_activations import NeuronActivations
from miscope.analyzers.neuron_fourier import NeuronFourier
from miscope.analyzers.neuron_spectra import NeuronSpectra
from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity
from miscope.analyzers.representation_geometry import RepresentationGeometry
from miscope.analyzers.representations import Representations
from miscope.analyzers.singular_values import SingularValues
from miscope.analyzers.walsh_spectrum import WalshSpectrum
from miscope.core import Context, Probe
from miscope.instrument import Artifact, Output, View
from miscope.maths.codes import coded
from miscope.maths.spectra import Basis
from miscope.trackers.centroid_trajectory import CentroidTrajectory
from miscope.trackers.graduation import Graduation
from miscope.trackers.neuron_dynamics import NeuronDynamics
from miscope.trackers.neuron_groups import NeuronGroups
from miscope.trackers.phases import Phases
from miscope.trackers.progress_measures import ProgressMeasures
from miscope.trackers.representation_similarity import RepresentationSimilarity
from miscope.trackers.weight_norms import WeightNorms

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
        "head_scores": head_scores,
        "walsh_spectrum": walsh_spectrum,
        "linear_probes": linear_probes,
        "logit_difference": logit_difference,
        "composition_scores": composition_scores,
        "logit_lens": logit_lens,
        "representation_geometry": representation_geometry,
        "representations": representations,
        "loss_by_position": loss_by_position,
        "logit_spectra": logit_spectra,
        "neuron_fourier": neuron_fourier,
        "attention_spectra": attention_spectra,
        "circuit_style": circuit_style,
        "gradient_spectra": gradient_spectra,
        "quantization_sensitivity": quantization_sensitivity,
    }
    few = {"loss_landscape": loss_landscape, "local_learning_coefficient": local_learning_coefficient}
    stored = {name: {step: make(step) for step in STEPS} for name, make in makers.items()}
    stored |= {name: {step: make(step) for step in STEPS[::5]} for name, make in few.items()}  # the first and the last
    artifacts = {name: Artifact[Output](tuple(outputs), outputs.__getitem__) for name, outputs in stored.items()}
    return {
        **artifacts,
        "parameter_trajectory": parameter_trajectory(),
        "neuron_dynamics": neuron_dynamics(),
        "phases": phases(),
        "representation_similarity": representation_similarity(),
        "centroid_trajectory": centroid_trajectory(),
        "graduation": graduation(),
        "weight_norms": weight_norms(),
        "progress_measures": progress_measures(),
        "neuron_groups": neuron_groups(),
    }


def loss_by_position(step: int) -> LossByPosition:
    position = np.arange(4, 24)
    loss = 3.0 - 2.0 * step / STEPS[-1] * (position - 4) / 20
    return LossByPosition(position, np.where(position == 4, np.nan, loss), loss - 0.1, float(loss[-1] - loss[0]))


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
        inverse_participation_ratio=float((power**2).sum()), chance_power=0.3, chance_gini=0.2,
        unembedding_power=power[::-1].copy(),
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
        fraction=fraction.astype(np.float16), peak_frequency=fraction.argmax(axis=2) + 1,
        peak_fraction=peak.astype(np.float32), low_fraction=fraction[:, :, :3].sum(axis=2).astype(np.float32),
        level=level, n_specialised=(peak[:, :, None] >= level).sum(axis=1),
    )  # fmt: skip


def attention_patterns(step: int) -> AttentionPatterns:
    rng = np.random.default_rng(step)
    mean = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None] * np.ones((1, HEADS, 1, 1))
    return AttentionPatterns(
        mean=mean, std=mean / 10, map_fraction=rng.dirichlet(np.ones(N_FREQ), (1, HEADS, 3)).astype(np.float32),
        n_inputs=P * P, answer_code=rng.integers(0, 256, -(-HEADS * 3 * P * P * 7 // 8), np.uint8),
        answer_low=np.zeros((1, HEADS, 3), np.float32), answer_unit=np.full((1, HEADS, 3), 1 / 127, np.float32),
    )  # fmt: skip


def singular_values(step: int) -> SingularValues:
    names = ("embed.W_E", "blocks.0.attn.W_Q.0", "blocks.0.attn.W_Q.1", "blocks.0.mlp.W_in", "unembed.W_U")
    value = np.sort(np.random.default_rng(step).random((len(names), 6)), axis=1)[:, ::-1].copy()
    value[1:3, 4:] = np.nan
    norms = np.sqrt(np.nansum(value**2, axis=1))
    ratio = np.nansum(value, axis=1) ** 2 / norms**2
    shape = np.array([(6, 9), (6, 4), (6, 4), (9, 6), (6, 6)])
    return SingularValues(names, value, ratio, ratio + 0.5, value[:, 0], norms, shape)


def parameter_trajectory() -> ParameterTrajectory:
    n, group = len(STEPS), ("all", "embedding", "attention", "mlp")
    rng = np.random.default_rng(0)
    shares = np.array([0.6, 0.25, 0.1, 0.03, 0.02])
    return ParameterTrajectory(
        steps=np.array(STEPS), group=group, coordinate=rng.normal(size=(4, n, 5)),
        explained_variance=np.tile(shares, (4, 1)), speed=rng.random((4, n - 1)) + 0.1,
        turning=rng.uniform(-1, 1, (4, n - 2)), distance=np.cumsum(rng.random((4, n)), axis=1),
        radial=np.zeros((4, n)), loop_area=np.ones(4),
        random_walk_variance=6 / (np.pi * np.arange(1, 6)) ** 2, proximity=np.eye(4),
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
        steps=np.array(STEPS), accuracy=0.9, phase=("memorisation", "plateau", "circuit formation"),
        phase_start=np.array([0, 100, 500]), phase_end=np.array([100, 500, 1000]), memorised_step=100,
        test_peak_step=None, onset_step=900, solved_step=None, grokked_step=None, crossover_step=200,
        verdict="continue", reasons=("The test loss still falls.",),
    )  # fmt: skip


def head_scores(step: int) -> HeadScores:
    score = np.random.default_rng(step).random((5, 1, HEADS))
    return HeadScores(
        previous_token=score[0], first_position=score[1], neighbour_chance=5 / 12, duplicate_token=score[2],
        prefix_matching=score[3], repeat_chance=1 / 2, n_repeats=P, entropy=score[4], offset=np.arange(3),
        offset_score=np.stack([score[4], score[0], score[1]], axis=2), offset_chance=np.array([11 / 18, 5 / 12, 1 / 3]),
        copying=2 * score[4] - 1, copying_std=np.array([0.2]),
    )  # fmt: skip


def walsh_spectrum(step: int) -> WalshSpectrum:
    share = np.array([9.0, 4, 2, 1, 1, 1, 1, 1 + 20 * (step / STEPS[-1]) ** 2])  # sets of three bits in C order
    share /= share.sum()
    order, names = np.argsort(-share, kind="stable"), ("constant", "x3", "x2", "x2 x3", "x1", "x1 x3", "x1 x2")
    return WalshSpectrum(
        bit=("x1", "x2", "x3"), coefficient=np.sqrt(share).astype(np.float32), energy=1.0,
        degree_share=np.array([share[0], share[[1, 2, 4]].sum(), share[[3, 5, 6]].sum(), share[7]]),
        chance_degree_share=np.array([1, 3, 3, 1]) / 8, target="x1 x2 x3", target_share=float(share[7]),
        target_coefficient=-float(share[7]) ** 0.5, other_coefficient=0.2, chance_share=1 / 8,
        target_rank=8 - 7 * step // STEPS[-1], n_of_its_size=9,
        strongest=tuple((*names, "x1 x2 x3")[i] for i in order), strongest_share=share[order],
    )  # fmt: skip


def weight_norms() -> WeightNorms:
    names = ("all", "embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "blocks.0.mlp.b_in", "unembed.W_U")
    growth = np.sqrt(np.arange(1, 7))[:, None] * np.sqrt(np.array(STEPS) / 1000)
    n_weights = np.array([400, 100, 100, 100, 10, 90])
    return WeightNorms(np.array(STEPS), names, n_weights, 10 - growth, growth, growth / 10, growth / 3)


def linear_probes(step: int) -> LinearProbes:
    rng, latents, layers = np.random.default_rng(step), ("a", "b", "a + b"), ("embedding", "layer 0")
    learned = np.array([[0.1, 0.9, 0.1], [0.9, 0.9, 0.1 + 0.8 * step / STEPS[-1]]])
    return LinearProbes(
        latent=latents, layer=layers, accuracy=learned - rng.random((2, 3)) / 50,
        shuffled=0.1 - rng.random((2, 3)) / 20, majority=np.array([0.1, 0.1, 0.08]),
    )  # fmt: skip


def logit_difference(step: int) -> LogitDifference:
    difference = np.random.default_rng(step).normal(size=P * P).astype(np.float32) + 5 * step / STEPS[-1]
    return LogitDifference(
        train_mean=5 * step / STEPS[-1], train_std=1.0, train_positive=0.5 + step / 2000, train_mass=0.9,
        test_mean=4 * step / STEPS[-1], test_std=1.1, test_positive=0.5 + step / 2500, test_mass=0.8,
        difference=difference, is_train=context().probe.is_train,
    )  # fmt: skip


def composition_scores(step: int) -> CompositionScores:
    score = np.full((3, 2, HEADS, 2, HEADS), np.nan)
    score[:, 0, :, 1, :] = np.random.default_rng(step).normal(0.125, 0.01, (3, HEADS, HEADS))
    score[1, 0, 0, 1, 1] += 0.3 * step / STEPS[-1]
    return CompositionScores(score=score, chance=0.125, chance_std=0.01)


def representation_geometry(step: int) -> RepresentationGeometry:
    rng, done = np.random.default_rng(step), 0.1 + step / STEPS[-1]
    angle = 2 * np.pi * 3 * np.arange(P) / P
    around = np.stack([np.cos(angle), np.sin(angle), *rng.normal(size=(2, P)) / 10], axis=1)
    centroid = np.concatenate([np.zeros((P, 4)), done * around, done * around / 2], axis=1)
    numbers = {"spread": 1.0, "snr": 2 * done, "fisher_mean": done, "fisher_min": done / 9, "least_distance": done / 2}
    measured = {name: np.array([np.nan, value, value / 2]) for name, value in numbers.items()}
    measured["spread"][0] = measured["least_distance"][0] = 0
    ring = {name: np.array([np.nan, done, done / 2]) / 1.1 for name in ("circularity", "ring_alignment")}
    return RepresentationGeometry(
        site=("blocks.0.hook_resid_pre", "blocks.0.mlp.hook_post", "blocks.0.hook_resid_post"),
        width=np.array([4, 4, 4]), label=np.arange(P), n_inputs=np.full(P, P),
        **coded(centroid.astype(np.float32), geometry_file.BITS)._asdict(),
        radius=np.ones((3, P)), participation_ratio=np.array([[np.nan], [4 - done], [3 - done]]) * np.ones(P),
        chance_snr=1 / P, fisher_min_pair=np.array([[np.nan, np.nan], [0, 9], [4, 0]]),
        variance_share=np.array([[0, 0, 0], [0.6, 0.3, 0.1], [0.5, 0.4, 0.1]]), has_native_order=True,
        power=np.stack([np.full(N_FREQ, np.nan), *rng.dirichlet(np.ones(N_FREQ), 2)]),
        ring_frequency=np.array([np.nan, 3, 3]), **measured, **ring,
    )  # fmt: skip


def logit_lens(step: int) -> LogitLens:
    done = np.array([0, step / STEPS[-1]])
    return LogitLens(
        point=("embedding", "after layer 0"), train_loss=2.5 - 2 * done, test_loss=2.5 - done, train_accuracy=done,
        test_accuracy=done**2, component=("embedding", "layer 0 attention", "layer 0 MLP"),
        attribution=np.array([-0.5, 1, 4]) * done[1], spread=np.array([0.5, 0.5, 1]), against="the mean logit",
    )  # fmt: skip


def logit_spectra(step: int) -> LogitSpectra:
    rng, done = np.random.default_rng(step), step / STEPS[-1]
    share = 0.01 * rng.dirichlet(np.ones(N_FREQ))
    share[2] += 0.9 * done
    return LogitSpectra(
        along="the answer", is_native=True, share=share, trig_share=0.9 * share, trig_amplitude=share,
        excluded_loss=0.1 + 20 * share, coefficient=rng.normal(size=(P, P)).astype(np.float32),
    )  # fmt: skip


def neuron_fourier(step: int) -> NeuronFourier:
    rng, done = np.random.default_rng(step), step / STEPS[-1]
    code, phase = rng.integers(0, 256, (1, NEURONS, N_FREQ), np.uint8), rng.uniform(-3, 3, (1, NEURONS))
    share, k = 0.2 + 0.7 * done * rng.random((1, NEURONS)), rng.integers(1, N_FREQ + 1, (1, NEURONS))
    off = np.pi * (1 - done) * rng.random((1, NEURONS))
    off[0, 0] = np.nan
    return NeuronFourier(
        path="heads", is_native=True, read_frequency=k.astype(np.int32), read_share=share.astype(np.float32),
        read_concentration=share.astype(np.float32) ** 2, read_amplitude=np.ones_like(share, dtype=np.float32),
        read_phase=phase.astype(np.float32), read_amplitude_code=code, read_phase_code=code,
        write_frequency=k.astype(np.int32), write_share=share.astype(np.float32) / 2,
        write_amplitude=np.ones_like(share, dtype=np.float32), write_phase=phase[:, ::-1].astype(np.float32),
        write_amplitude_code=code, write_phase_code=code, misalignment=off.astype(np.float32),
    )  # fmt: skip


def attention_spectra(step: int) -> AttentionSpectra:
    rng = np.random.default_rng(step)
    query, key, value, score = rng.dirichlet(np.ones(N_FREQ), (4, 1, HEADS))
    return AttentionSpectra(
        is_native=True, qk_energy=np.ones((1, HEADS)), qk_share=query * key,
        qk_alignment=rng.uniform(-1, 1, (1, HEADS, N_FREQ)), query_share=query, key_share=key, value_share=value,
        score_energy=np.ones((1, HEADS)), score_share=score,
    )  # fmt: skip


def progress_measures() -> ProgressMeasures:
    done = np.array(STEPS) / STEPS[-1]
    return ProgressMeasures(
        steps=np.array(STEPS), key_frequency=np.array([3, 5]), key_rule="The key frequencies are made up.",
        is_native=True, train_loss=2.5 * 1e-6**done, test_loss=2.5 + 8 * done - 10.4 * done**8,
        restricted_loss=np.tile(2.5 * 0.001**done, (3, 1)), excluded_loss=2.5 * (1 - done) + 5 * done**2,
        key_excluded_loss=np.stack([1e-3 + done, 1e-3 + done**2]), single_loss=1e-3 + done,
        single_frequency=np.full(len(STEPS), 3), other_loss=np.full(len(STEPS), 1e-3), trig_loss=2 * 0.0001**done,
        key_share=done, trig_share=0.9 * done,
    )  # fmt: skip


def neuron_groups() -> NeuronGroups:
    n, rng = len(STEPS), np.random.default_rng(0)
    gain = np.stack([np.zeros(n), np.linspace(0, 0.8, n)])
    share = np.tile([0.4, 0.35, 0.1, 0.05, 0.01], (2, n, 1))
    member = np.array([[3, 3, 3, 3, 3, 0, 0, 0]])
    score = np.where(member[..., None] > 0, rng.normal(size=(1, NEURONS, 3)), np.nan)
    return NeuronGroups(
        steps=np.array(STEPS), layer=np.zeros(2, dtype=int), frequency=np.array([0, 3]), size=np.array([NEURONS, 5]),
        spread=1 - gain / 2, share=share, r2_linear=np.zeros((2, n)), r2_quadratic=gain, r2_gain=gain,
        chance_gain=np.array([0.05, 0.1]), curvature=np.tile([0.5, -0.5], (2, n, 1)), shape=2 * (gain > 0.5),
        member=member, score=score.astype(np.float32), level=0.7, least_gain=0.1,
    )  # fmt: skip


def circuit_style(step: int) -> CircuitStyle:
    done, distance = step / STEPS[-1], np.arange(P)
    return CircuitStyle(
        gradient_symmetry=0.99 - 0.5 * done, symmetry_std=0.1, mismatched_symmetry=0.01, distance=distance,
        distance_irrelevance=1 - 0.5 * done, shuffled_irrelevance=0.99,
        logit_mean=done * (10 + 5 * np.cos(2 * np.pi * 3 * distance / P)), logit_std=np.full(P, 0.1 + done),
    )  # fmt: skip


def gradient_spectra(step: int) -> GradientSpectra:
    power = np.random.default_rng(step).dirichlet(np.ones(N_FREQ), (2, 3))
    concentration, near = (power**2).sum(axis=2), np.full((3, 3), 0.9)
    return GradientSpectra(
        site=("embedding", "layer 0 attention", "layer 0 MLP"), is_native=True, norm=10.0 ** -np.arange(3),
        power=power[0], concentration=concentration[0], similarity=near, shuffled_norm=np.ones(3),
        shuffled_power=power[1], shuffled_concentration=concentration[1], shuffled_similarity=near,
    )  # fmt: skip


def loss_landscape(step: int) -> LossLandscape:
    done, distance = step / STEPS[-1], np.array([1.0, 3.0, 10.0])
    rise = np.random.default_rng(step).normal(1, 0.2, (50, 1)) * distance**2 * 1e-3 * (1.1 - done)
    rise[0, 0] = -1e-6
    return LossLandscape(
        n_inputs=50, loss=1.0, n_parameters=1000, weight_norm=30.0 + 10 * done, distance=distance, rise=rise,
        top_eigenvalue=20 - 10 * done, top_error=0.1, least_eigenvalue=-2.0, least_error=1.0, is_converged=step > 0,
        n_products=9, trace=2.0, trace_error=0.5,
    )  # fmt: skip


def local_learning_coefficient(step: int) -> LocalLearningCoefficient:
    path = np.random.default_rng(step).normal(50 - step / 20, 1, (4, 30)).astype(np.float32)
    return LocalLearningCoefficient(
        estimate=50 - step / 20, standard_error=0.5, chain=path.mean(axis=1).astype(np.float64), r_hat=1.01, drift=0.02,
        doubts=() if step else ("drift: the second half of the draws lies +90% from the first",), temperature=1.02,
        n_inputs=57, n_beta=14.0, reach=1.0, n_burn_in=15, trace=path,
    )  # fmt: skip


def quantization_sensitivity(step: int) -> QuantizationSensitivity:
    done = step / STEPS[-1]
    matrix = ("blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "unembed.W_U", "all")
    loss = np.array([[0.1, 0.2], [0.1, 0.4], [0.1, 0.3], [0.1, 1.0]]) * (1.1 - done)
    return QuantizationSensitivity(
        matrix=matrix, bits=np.array([8, 4]), error=np.tile([0.007, 0.09], (4, 1)), train_loss=loss, test_loss=2 * loss,
        train_accuracy=done * np.exp(-loss), test_accuracy=done**2 * np.exp(-loss), plain_train_loss=0.1 * (1.1 - done),
        plain_test_loss=0.2 * (1.1 - done), plain_train_accuracy=done, plain_test_accuracy=done**2,
        noise_train_loss=loss[1], noise_test_loss=2 * loss[1], noise_train_accuracy=done * np.exp(-loss[1]),
        noise_test_accuracy=done**2 * np.exp(-loss[1]), n_inputs=100,
    )  # fmt: skip


SITES = ("blocks.0.hook_resid_pre", "blocks.0.mlp.hook_post", "blocks.0.hook_resid_post")


def representations(step: int) -> Representations:
    value = np.random.default_rng(step).normal(size=(40, 12)).astype(np.float32)
    value[:, :4] = 1
    codes = coded(value, representations_file.BITS)
    return Representations(SITES, np.array([4, 4, 4]), np.arange(0, 160, 4), *codes)


def representation_similarity() -> RepresentationSimilarity:
    steps = np.array(STEPS)
    near = np.exp(-np.abs(steps[:, None] - steps) / 400).astype(np.float32)
    cka = np.stack([np.full_like(near, np.nan), near, near**2])
    turn = np.degrees(np.arccos(np.diagonal(cka, offset=1, axis1=1, axis2=2))).astype(np.float64)
    return RepresentationSimilarity(
        steps=steps, site=SITES, cka=0.1 + 0.9 * cka, debiased_cka=cka, turn=turn, n_inputs=40,
        dimension=np.array([[np.nan], [3.0], [4.0]]) * np.ones(len(STEPS)), chance_cka=np.full_like(cka, 0.1),
        gaussian_cka=np.full(3, 4 / 44),
    )  # fmt: skip


def centroid_trajectory() -> CentroidTrajectory:
    angle, n = 2 * np.pi * np.arange(P) / P, len(STEPS)
    ring = np.stack([np.cos(angle), np.sin(angle), *np.zeros((4, P))], axis=1) * np.linspace(0.1, 1, n)[:, None, None]
    rate = 0.9 / np.diff(STEPS)
    return CentroidTrajectory(
        steps=np.array(STEPS), site=SITES, label=np.arange(P), fit=np.array([[np.nan], [0.8], [0.9]]) * np.ones(n),
        chance_fit=np.full((3, n), 0.3),
        coordinate=np.stack([0 * ring, ring, 2 * ring]).astype(np.float32), speed=np.stack([0 * rate, rate, 2 * rate]),
        explained_variance=np.array([[np.nan] * 6, [0.5, 0.5, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0]]),
        centre_speed=np.stack([rate, rate / 2, rate / 3]),
    )  # fmt: skip


def graduation() -> Graduation:
    first = np.random.default_rng(0).choice([*STEPS[:-2], np.nan], P * P)
    return Graduation(
        steps=np.array(STEPS), graduation_step=first, n_forgotten=np.arange(P * P) % 3, is_right_at_end=first >= 0,
        is_train=context().probe.is_train, hold=3,
    )  # fmt: skip


def table_of(view: View, sources: Mapping[str, Any], context: Context, step: int = 500, **options: Any) -> Any:
    """What a view's table is on the synthetic outputs."""
    first = (sources[view.name.partition(".")[0]], context)
    return view.table(*first, step, **options) if view.is_per_step else view.table(*first, **options)
