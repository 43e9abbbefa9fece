"""Losses, concentration and lasting conditions, worked out by hand."""

import numpy as np
import pytest
from numpy.random import Generator

from miscope.maths.statistics import answers, herfindahl, lasting_from, majority_accuracies, ridge_accuracies


def test_even_logits_cost_the_log_of_the_number_of_classes() -> None:
    even = answers(np.zeros((3, 7), dtype=np.float32), np.array([0, 3, 6]))
    np.testing.assert_allclose(even.loss, np.log(7))
    np.testing.assert_array_equal(even.margin, 0)
    measured = answers(np.log(np.array([[1.0, 2.0, 5.0]])), np.array([2]))
    np.testing.assert_allclose(measured.loss, [-np.log(5 / 8)])
    np.testing.assert_allclose(measured.margin, [np.log(5 / 2)])


def test_tiny_losses_keep_their_digits_huge_ones_stay_finite_and_adding_a_constant_changes_nothing() -> None:
    tiny = answers(np.array([[40.0, 0.0, 0.0]], dtype=np.float32), np.array([0]))
    assert tiny.loss[0] == pytest.approx(2 * np.exp(-40), rel=1e-12)
    logits, targets = np.array([[5000.0, 0.0, -5000.0]]), np.array([2])
    assert answers(logits, targets).loss[0] == pytest.approx(10_000)
    np.testing.assert_allclose(answers(logits + 123, targets), answers(logits, targets))
    np.testing.assert_array_equal(logits, [[5000.0, 0.0, -5000.0]])  # as they were


def test_herfindahl_of_equal_shares_is_one_over_their_number_and_of_nothing_absent() -> None:
    np.testing.assert_allclose(herfindahl(np.array([[2, 2, 0, 0], [0, 5, 0, 0], [3, 1, 0, 0]])), [0.5, 1, 10 / 16])
    assert np.isnan(herfindahl(np.zeros(4, dtype=int)))


def test_a_condition_lasts_from_after_its_last_failure() -> None:
    cases = {(1, 1, 1): 0, (0, 1, 1): 1, (1, 0, 1): 2, (1, 1, 0): 3, (0, 0, 0): 3}
    assert [lasting_from(np.array(holds, dtype=bool)) for holds in cases] == list(cases.values())
    np.testing.assert_array_equal(lasting_from(np.array(list(cases), dtype=bool).T), list(cases.values()))


N, DIM = 400, 6
FITTED = np.arange(N) % 2 == 0


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(0)


def test_classes_that_the_values_spell_out_are_always_found(rng: Generator) -> None:
    labels = rng.integers(4, size=(3, N))
    values = np.concatenate([np.eye(4)[row] for row in labels], axis=1)
    np.testing.assert_array_equal(ridge_accuracies(values, labels, FITTED, 1e-6), 1)


def test_the_slopes_are_those_of_least_squares_with_an_intercept(rng: Generator) -> None:
    values, labels = rng.normal(size=(N, DIM)), rng.integers(3, size=(1, N))
    design = np.column_stack([values, np.ones(N)])
    weights = np.linalg.lstsq(design[FITTED], np.eye(3)[labels[0, FITTED]])[0]
    expected = ((design @ weights).argmax(axis=1) == labels[0])[~FITTED].mean()
    np.testing.assert_allclose(ridge_accuracies(values, labels, FITTED, 1e-12), expected)


def test_labels_together_score_as_they_do_alone(rng: Generator) -> None:
    values = rng.normal(size=(N, DIM))
    labels = np.stack([(values[:, 0] > 0) + (values[:, 1] > 1), values[:, 2] > 0]).astype(int) + rng.integers(2)
    alone = [ridge_accuracies(values, row[None], FITTED, 0.01)[0] for row in labels]
    np.testing.assert_array_equal(ridge_accuracies(values, labels, FITTED, 0.01), alone)


def test_rotation_scale_and_shift_change_no_answer(rng: Generator) -> None:
    values, labels = rng.normal(size=(N, DIM)) * np.arange(1, DIM + 1), rng.integers(3, size=(2, N))
    moved = 1e3 * values @ np.linalg.qr(rng.normal(size=(DIM, DIM)))[0] + 5
    expected = ridge_accuracies(values, labels, FITTED, 0.1)
    np.testing.assert_array_equal(ridge_accuracies(moved, labels, FITTED, 0.1), expected)


def test_values_that_do_not_vary_give_the_largest_class() -> None:
    labels = (np.arange(N) % 10 == 0)[None].astype(int) * 7
    measured = ridge_accuracies(np.ones((N, DIM)), labels, FITTED, 0.1)
    np.testing.assert_array_equal(measured, majority_accuracies(labels, FITTED))


def test_the_majority_is_that_of_the_fitted_half_counted_on_the_other() -> None:
    labels = np.array([[5, 5, 5, 0, 0, 5]])
    is_fitted = np.array([True, True, False, False, False, True])
    np.testing.assert_allclose(majority_accuracies(labels, is_fitted), [1 / 3])
