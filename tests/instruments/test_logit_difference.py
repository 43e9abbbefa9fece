"""Logits written by hand: four inputs, three answers."""

from dataclasses import replace

import numpy as np
import pytest

from miscope.analyzers.logit_difference import LogitDifference, logit_difference
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=0, n_ctx=2, d_vocab=3, d_vocab_out=3)
PROBE = Probe(
    tokens=np.zeros((4, 2), dtype=np.int64),
    targets=np.array([0, 1, 2, 0]),
    is_train=np.array([True, True, False, False]),
    foils=np.array([1, 0, 0, 2]),
)
LOGITS = np.array([[3, 1, 0], [2, -1, 0], [5, 0, 5], [0, 0, -4]], dtype=np.float32)  # differences 2, -3, 0, 4


def measured(probe: Probe = PROBE, logits: np.ndarray = LOGITS) -> LogitDifference:
    context = Context(probe=probe, answer_position=1, basis=Basis("fourier", 3))
    return logit_difference(Checkpoint(0, MODEL, {}, {"logits": logits}), context)


def test_the_difference_is_the_right_logit_minus_that_of_the_foil() -> None:
    assert measured().difference.tolist() == [2, -3, 0, 4]


def test_mean_and_spread_are_those_of_each_split() -> None:
    found = measured()
    assert (found.train_mean, found.train_std) == (-0.5, 2.5)
    assert (found.test_mean, found.test_std) == (2, 2)


def test_a_tie_does_not_count_as_a_lead() -> None:
    found = measured()
    assert (found.train_positive, found.test_positive) == (0.5, 0.5)


def test_the_mass_is_the_probability_of_right_answer_and_foil() -> None:
    even = measured(logits=np.zeros((4, 3), dtype=np.float32))
    assert even.train_mass == pytest.approx(2 / 3)
    settled = measured(logits=np.array([[0, 0, -1e4], [0, 0, -1e4], [0, 1e4, 0], [0, 0, 0]], dtype=np.float32))
    assert settled.train_mass == pytest.approx(1)
    assert settled.test_mass == pytest.approx(1 / 3)


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    plain, shifted = measured(), measured(logits=LOGITS + np.float32(100))
    np.testing.assert_allclose(shifted.difference, plain.difference)
    assert shifted.test_mass == pytest.approx(plain.test_mass)


def test_a_split_without_inputs_is_absent() -> None:
    found = measured(replace(PROBE, is_train=np.ones(4, dtype=bool)))
    assert (
        found.test_mean is None and found.test_std is None and found.test_positive is None and found.test_mass is None
    )
    assert found.train_mean == 0.75


def test_a_task_that_names_no_foil_is_refused_with_the_reason() -> None:
    with pytest.raises(NotApplicable, match="names no foil"):
        measured(replace(PROBE, foils=None))
