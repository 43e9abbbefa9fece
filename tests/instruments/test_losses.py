"""Losses of logits whose answers are known."""

import calibration_model
import numpy as np
import pytest
from miscope.instruments.losses.measure import Losses, losses

from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.maths.spectra import Basis

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=0, n_ctx=1, d_vocab=4, d_vocab_out=4)


def measured(logits: list[list[float]], targets: list[int], is_train: list[bool]) -> Losses:
    probe = Probe(np.zeros((len(targets), 1), dtype=np.int64), np.array(targets), np.array(is_train))
    context = Context(probe=probe, answer_position=0, basis=Basis("fourier", 4))
    return losses(Checkpoint(0, MODEL, {}, {"logits": np.array(logits, dtype=np.float32)}), context)


def test_an_even_guess_costs_the_log_of_the_number_of_classes() -> None:
    found = measured([[0, 0, 0, 0], [5, 5, 5, 5]], [0, 1], [True, False])
    assert found.train_loss == found.test_loss == found.all_loss == pytest.approx(np.log(4))
    np.testing.assert_allclose(found.confidence, 0.25)


def test_splits_are_measured_apart() -> None:
    found = measured([[2, 0, 0, 0], [0, 0, 0, 3], [1, 0, 0, 0]], [0, 3, 1], [True, False, False])
    assert (found.train_accuracy, found.test_accuracy) == (1, 0.5)
    assert found.all_accuracy == pytest.approx(2 / 3)
    assert (found.train_margin_mean, found.train_margin_min) == (2, 2)
    assert (found.test_margin_mean, found.test_margin_min) == (1, -1)
    assert found.train_loss == pytest.approx(np.log(1 + 3 * np.exp(-2)))
    np.testing.assert_array_equal(found.is_correct, [True, True, False])


def test_a_tie_is_not_a_right_answer() -> None:
    assert measured([[1, 1, 0, 0]], [0], [True]).all_accuracy == 0


def test_a_class_that_no_input_has_is_absent() -> None:
    found = measured([[2, 0, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0]], [0, 0, 1], [True, True, False])
    np.testing.assert_array_equal(found.class_accuracy, [0.5, 1, np.nan, np.nan])


def test_an_empty_split_is_absent_and_not_zero() -> None:
    found = measured([[2, 0, 0, 0]], [0], [True])
    assert found.test_loss is found.test_accuracy is found.test_margin_mean is found.test_margin_min is None
    assert measured([[2, 0, 0, 0]], [0], [False]).train_loss is None


@pytest.mark.parametrize(
    ("step", "train", "test", "margin"),
    [(200, 0.0319, 20.2, -73), (10_000, 2.9e-7, 23.6, -78), (16_900, 1.2e-7, 6.3e-6, 6.0)],
)
def test_the_reference_run_gives_its_known_losses(step: int, train: float, test: float, margin: float) -> None:
    found = losses(calibration_model.checkpoint(step), calibration_model.context())
    assert found.train_loss == pytest.approx(train, rel=0.03)
    assert found.test_loss == pytest.approx(test, rel=0.01)
    assert found.test_margin_min == pytest.approx(margin, abs=0.5)
