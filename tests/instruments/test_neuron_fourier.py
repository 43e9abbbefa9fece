"""The exact two-layer solution of modular addition: its frequencies and phases are written into the weights.

Source: Gromov 2023, arXiv:2301.02679 (weights as cosines, whose output phase is the sum of the input phases).
"""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from judging import judged, over

from miscope.calibration.models import probe, shape
from miscope.core import Checkpoint, MiscopeError, NotApplicable
from miscope.instruments.neuron_fourier.measure import NeuronFourier, neuron_fourier
from miscope.instruments.neuron_spectra.measure import neuron_spectra
from miscope.maths.spectra import Basis
from miscope.maths.waves import waves

P, NEURONS = 11, 60
MODEL = shape(d_model=P + 1, d_head=P + 1, d_mlp=NEURONS, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
CONTEXT = probe(1, P)
K = 1 + np.arange(NEURONS) % 5
PHI = 2 * np.pi * (np.arange(NEURONS) // 5) / 12 + 0.1 * K  # twelve phases for each frequency, even round the circle
ANGLE = 2 * np.pi * np.multiply.outer(np.arange(P), K) / P
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(P + 1, P + 1)))[0]


def solution(offset: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """One-hot tokens; a neuron reads 2 cos(w x + phi) and writes cos(w c + 2 phi - offset) / 2."""
    w_in = np.vstack([2 * np.cos(ANGLE + PHI), np.full(NEURONS, 9.0)])
    w_out = np.hstack([np.cos(ANGLE + 2 * PHI - offset).T / 2, np.zeros((NEURONS, 1))])
    mlp = {"blocks.0.mlp.W_in": w_in, "blocks.0.mlp.W_out": w_out}
    return {"embed.W_E": np.eye(P + 1), **mlp, "unembed.W_U": np.eye(P + 1, P)}


def with_head(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same neurons behind a head that rotates what it moves."""
    head = {"blocks.0.attn.W_V": ROTATION[None], "blocks.0.attn.W_O": np.eye(P + 1)[None]}
    return weights | head | {"blocks.0.mlp.W_in": ROTATION.T @ weights["blocks.0.mlp.W_in"]}


def measured(weights: dict[str, np.ndarray], path: str = "heads") -> NeuronFourier:
    single = {name: weight.astype(np.float32) for name, weight in weights.items()}
    return neuron_fourier(Checkpoint(0, MODEL, single), CONTEXT, path=path)


def test_amplitudes_and_phases_of_both_ends_are_those_that_were_planted() -> None:
    output = measured(solution())
    assert output.path == "direct"  # the network has no heads
    np.testing.assert_allclose(output.read_amplitude, 2, rtol=1e-5)
    np.testing.assert_allclose(output.write_amplitude, 0.5, rtol=1e-5)
    np.testing.assert_allclose(np.exp(1j * output.read_phase[0]), np.exp(1j * PHI), atol=1e-5)
    np.testing.assert_allclose(np.exp(1j * output.write_phase[0]), np.exp(2j * PHI), atol=1e-5)


def test_all_waves_come_back_from_their_codes() -> None:
    values = np.random.default_rng(3).normal(size=(P, NEURONS))
    output = measured(solution() | {"blocks.0.mlp.W_in": np.vstack([values, np.zeros(NEURONS)])})
    expected = waves(CONTEXT.basis, values)
    amplitude = output.read_amplitude[..., None] * (output.read_amplitude_code / 255)
    assert (np.abs(amplitude[0].T - expected.amplitude) <= output.read_amplitude[0] / 509).all()
    turns = output.read_phase_code[0].T / 256
    np.testing.assert_allclose(np.exp(2j * np.pi * turns), np.exp(1j * expected.phase), atol=1.01 * np.pi / 256)


def test_a_phase_that_is_off_is_off_by_that_much_round_the_circle() -> None:
    off = np.linspace(-6, 6, NEURONS)
    expected = np.abs(np.angle(np.exp(1j * off)))
    np.testing.assert_allclose(measured(solution(off)).misalignment, expected[None], atol=1e-5)


def test_two_frequencies_share_by_their_squares_and_who_reads_nothing_has_none_and_no_phase() -> None:
    weights = solution()
    mixed = 2 * np.cos(2 * np.pi * 3 * np.arange(P) / P) + np.sin(2 * np.pi * 4 * np.arange(P) / P)
    weights["blocks.0.mlp.W_in"][:P, 0] = mixed + 7
    weights["blocks.0.mlp.W_in"][:, 4] = 0
    output = measured(weights)
    assert (output.read_frequency[0, 0], output.read_share[0, 0]) == (3, pytest.approx(0.8))
    assert output.read_concentration[0, 0] == pytest.approx(0.8**2 + 0.2**2)
    assert (output.read_frequency[0, 4], output.read_share[0, 4]) == (0, 0)
    assert np.isnan(output.misalignment[0, 4])


def test_what_is_read_through_a_head_is_seen_there_and_not_on_the_direct_path() -> None:
    weights = with_head(solution())
    through, direct = measured(weights), measured(weights, path="direct")
    assert (through.path, direct.path) == ("heads", "direct")
    np.testing.assert_array_equal(through.read_frequency[0], K)
    np.testing.assert_allclose(through.misalignment, 0, atol=1e-4)
    assert np.median(direct.read_share) < 0.8
    assert np.median(direct.misalignment) > 0.5


def test_permuting_neurons_permutes_the_answer() -> None:
    order, weights = np.random.default_rng(1).permutation(NEURONS), solution(np.linspace(0, 3, NEURONS))
    weights["blocks.0.mlp.W_in"] = weights["blocks.0.mlp.W_in"][:, order]
    weights["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    output = measured(weights)
    np.testing.assert_array_equal(output.read_frequency[0], K[order])
    np.testing.assert_allclose(output.misalignment[0], np.linspace(0, 3, NEURONS)[order], atol=1e-5)


def test_weights_that_are_waves_whose_phases_fit_are_beyond_and_random_ones_within() -> None:
    rng, views = np.random.default_rng(2), ("overview", "alignment", "phases")
    shapes = {"blocks.0.mlp.W_in": (P + 1, NEURONS), "blocks.0.mlp.W_out": (NEURONS, P + 1)}
    noise = {name: rng.normal(size=size) for name, size in shapes.items()}
    unrelated = solution(rng.uniform(-np.pi, np.pi, NEURONS))
    for weights, is_beyond in (
        (solution(), [True, True, True]),
        (unrelated, [True, False, False]),
        (solution() | noise, [False, False, False]),
    ):
        source = over({0: measured(weights)})
        nulls = [judged(f"neuron_fourier.{view}", source, CONTEXT) for view in views]
        assert all(null.is_measured for null in nulls)
        assert [null.is_beyond for null in nulls] == is_beyond
    assert np.mean(measured(unrelated).misalignment) == pytest.approx(np.pi / 2, abs=0.4)


def test_outputs_that_are_not_the_tokens_have_no_phase() -> None:
    weights = solution()
    weights["unembed.W_U"] = weights["unembed.W_U"][:, :3]
    output = measured(weights)
    assert output.write_phase is output.write_phase_code is output.write_frequency is output.misalignment is None
    np.testing.assert_array_equal(output.read_frequency[0], K)


def test_an_even_group_has_a_last_wave_without_a_sine() -> None:
    x = np.arange(8)
    values = np.stack([3 * (-1.0) ** x, 2 * np.cos(2 * np.pi * x / 8 + 1) - 0.5 * (-1.0) ** x], axis=1)
    fitted = waves(Basis("fourier", 8), values)
    np.testing.assert_allclose(fitted.amplitude, [[0, 2], [0, 0], [0, 0], [3, 0.5]], atol=1e-12)
    np.testing.assert_allclose(fitted.phase[0, 1], 1)
    np.testing.assert_allclose(np.abs(fitted.phase[3]), [0, np.pi], atol=1e-12)


def test_what_cannot_apply_says_why() -> None:
    with pytest.raises(NotApplicable, match="no MLP"):
        neuron_fourier(Checkpoint(0, replace(MODEL, d_mlp=0), {}), CONTEXT)
    with pytest.raises(NotApplicable, match="fewer rows than the basis' 23 tokens"):
        neuron_fourier(Checkpoint(0, MODEL, solution()), replace(CONTEXT, basis=Basis("fourier", 23)))
    with pytest.raises(NotApplicable, match="one frequency"):
        neuron_fourier(Checkpoint(0, MODEL, solution()), replace(CONTEXT, basis=Basis("fourier", 2)))
    with pytest.raises(MiscopeError, match="`path` = 'mlp'; allowed: heads or direct"):
        measured(solution(), path="mlp")


def test_phases_of_the_reference_run_fit_at_the_end_through_its_heads_and_never_on_the_direct_path() -> None:
    last = calibration_model.checkpoint(16_900)
    through = neuron_fourier(last, calibration_model.context())
    assert np.median(through.misalignment) == pytest.approx(0.047, abs=5e-3)  # radians; measured when this was written
    assert (through.read_share > 0.7).sum() == 361
    direct = neuron_fourier(last, calibration_model.context(), path="direct")
    assert np.median(direct.misalignment) > 1.2
    early = neuron_fourier(calibration_model.weights_only(200), calibration_model.context())
    assert np.median(early.misalignment) < 0.6  # long before the test loss falls
    active = neuron_spectra(last, calibration_model.context())
    is_tuned = active.peak_fraction > 0.7
    assert is_tuned.sum() > 300  # which read the frequency that they work at
    np.testing.assert_array_equal(through.read_frequency[is_tuned], active.peak_frequency[is_tuned])
