"""Logits made of known waves."""

from dataclasses import replace

import calibration_model
import judging
import numpy as np
import pytest

from miscope.calibration.models import on_planted, probe, shape
from miscope.core import Context, NotApplicable
from miscope.instruments.logit_spectra.measure import LogitSpectra, instrument, logit_spectra, share_of_noise
from miscope.maths.spectra import Basis
from miscope.maths.statistics import answers
from miscope.maths.waves import losses_without

P = 11


def context(p: int = P, sign: int = 1) -> Context:
    (a, b), is_train = np.divmod(np.arange(p * p), p), np.random.default_rng(0).random(p * p) < 0.4
    inputs = replace(probe(p * p).probe, targets=(a + sign * b) % p, is_train=is_train)
    return replace(probe(p * p, p), probe=inputs, grid=(p, p))


def wave(k: int, p: int = P, sign: int = 1, phase: float = 0.0) -> np.ndarray:
    """cos(w_k (a + sign b - c) + phase) for every pair and output c."""
    a, b = np.divmod(np.arange(p * p), p)
    return np.cos(2 * np.pi * k * (a + sign * b)[:, None] / p - 2 * np.pi * k * np.arange(p) / p + phase)


def measured(logits: np.ndarray, of: Context | None = None) -> LogitSpectra:
    return on_planted(instrument, shape(), of or context(), logits=logits)


def test_a_sine_of_the_answer_less_the_output_is_in_the_share_and_not_in_the_cosines() -> None:
    spectra = measured(wave(4, phase=-np.pi / 2))
    np.testing.assert_allclose(spectra.share[3], 1, rtol=1e-6)
    np.testing.assert_allclose(spectra.trig_share, 0, atol=1e-9)


def test_what_depends_on_one_summand_alone_has_no_share() -> None:
    a = np.repeat(np.arange(P), P)
    assert measured(np.cos(2 * np.pi * 3 * a[:, None] / P) * np.arange(P)).share.max() < 1e-9


def test_a_number_added_to_all_logits_of_an_input_changes_nothing() -> None:
    logits, rng = wave(2) + np.random.default_rng(1).normal(size=(P * P, P)), np.random.default_rng(2)
    before, after = measured(logits), measured(logits + 5 * rng.normal(size=(P * P, 1)))
    np.testing.assert_allclose(after.share, before.share, rtol=1e-4)
    np.testing.assert_allclose(after.excluded_loss, before.excluded_loss, rtol=1e-4)


def test_for_a_difference_the_waves_are_of_the_difference() -> None:
    spectra = measured(wave(3, sign=-1), context(sign=-1))
    assert spectra.along == "the answer"
    np.testing.assert_allclose(spectra.trig_share, [0, 0, 1, 0, 0], atol=1e-6)


def test_where_answers_make_no_group_the_waves_are_of_the_sum() -> None:
    plain = context()
    a, b = np.divmod(np.arange(P * P), P)
    other = replace(plain, probe=replace(plain.probe, targets=np.maximum(a, b)), basis=Basis("fourier", P, False))
    spectra = measured(wave(3), other)
    assert (spectra.along, spectra.is_native) == ("a + b", False)
    np.testing.assert_allclose(spectra.share, [0, 0, 1, 0, 0], atol=1e-6)
    shuffled = np.random.default_rng(3).permutation(plain.probe.targets)
    assert measured(wave(1), replace(plain, probe=replace(plain.probe, targets=shuffled))).along == "a + b"


def test_the_excluded_loss_is_that_of_the_logits_without_the_frequency() -> None:
    logits = (4 * wave(2) + np.random.default_rng(4).normal(size=(P * P, P))).astype(np.float32).astype(np.float64)
    inputs, rows, expected = context().probe, context().basis.matrix, []
    sums = np.stack([logits[inputs.targets == s].mean(axis=0) for s in range(P)])
    for k in range(1, 6):
        kept = rows[[2 * k - 1, 2 * k]]
        without = logits - (kept.T @ kept @ sums)[inputs.targets]
        expected.append(answers(without[inputs.is_train], inputs.targets[inputs.is_train]).loss.mean())
    np.testing.assert_allclose(measured(logits).excluded_loss, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1.0, 400.0])
def test_losses_without_a_function_are_those_taken_one_by_one(size: float) -> None:
    rng = np.random.default_rng(5)
    logits, removed = size * rng.normal(size=(30, 6)), size * rng.normal(size=(4, 3, 6))
    targets, place = rng.integers(0, 6, 30), rng.integers(0, 3, 30)
    expected = [answers(logits - one[place], targets).loss.mean() for one in removed]
    np.testing.assert_allclose(losses_without(logits, targets, place, removed), expected, rtol=1e-9)


def test_an_even_group_has_a_last_frequency_without_a_sine() -> None:
    spectra = measured(2 * wave(4, 8) + wave(1, 8), context(8))
    np.testing.assert_allclose(spectra.trig_amplitude, [1, 0, 0, 2], atol=1e-6)
    np.testing.assert_allclose(spectra.share, [1 / 9, 0, 0, 8 / 9], atol=1e-6)
    np.testing.assert_allclose(spectra.trig_share, spectra.share, atol=1e-6)


def test_without_training_inputs_or_outputs_that_are_tokens_those_numbers_are_absent() -> None:
    plain = context()
    untrained = replace(plain, probe=replace(plain.probe, is_train=np.zeros(P * P, dtype=bool)))
    assert measured(wave(2), untrained).excluded_loss is None
    few = replace(plain, probe=replace(plain.probe, targets=plain.probe.targets % 3))
    assert measured(wave(2)[:, :3], few).trig_share is None


def test_logits_that_are_equal_have_no_shares() -> None:
    spectra = measured(np.full((P * P, P), 2.0))
    assert not spectra.share.any()
    np.testing.assert_allclose(spectra.excluded_loss, np.log(P))


def test_a_probe_that_is_no_grid_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="11 tokens"):
        measured(wave(1), replace(context(), grid=None))


def test_the_reference_run_ends_with_its_known_share_of_cosines() -> None:
    spectra = logit_spectra(calibration_model.checkpoint(16_900), calibration_model.context())
    assert spectra.trig_share[[7, 18, 37, 40, 53]].sum() == pytest.approx(0.926, abs=5e-4)


@pytest.mark.parametrize("view", ["logit_spectra.overview", "logit_spectra.excluded", "logit_spectra.spectrum"])
def test_logits_of_a_circuit_are_beyond_noise(view: str) -> None:
    noise = measured(np.random.default_rng(0).normal(size=(P * P, P)))
    circuit = measured(8 * wave(3))
    judging.assert_told_apart(view, judging.path(noise, circuit), judging.path(noise), context())


def test_the_share_of_noise_is_exceeded_in_one_of_a_hundred() -> None:
    """White noise over all pairs that one function of the output carries: the worst case that is taken."""
    place, basis, rng, largest = context().probe.targets, context().basis, np.random.default_rng(0), []
    for values in rng.normal(size=(3000, P * P)):
        sums = np.bincount(place, values) / P**0.5
        largest.append(((basis.matrix @ sums)[1:] ** 2).reshape(-1, 2).sum(axis=1).max() / (values**2).sum())
    share = np.mean(np.array(largest) > share_of_noise(P))
    assert 0.004 < share < 0.018  # 0.01, three standard errors either way
