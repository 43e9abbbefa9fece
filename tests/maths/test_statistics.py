"""Losses, concentration and lasting conditions, worked out by hand."""

import numpy as np
import pytest

from miscope.maths.statistics import answers, herfindahl, lasting_from


def test_even_logits_cost_the_log_of_the_number_of_classes() -> None:
    found = answers(np.zeros((3, 7), dtype=np.float32), np.array([0, 3, 6]))
    np.testing.assert_allclose(found.loss, np.log(7))
    np.testing.assert_array_equal(found.margin, 0)


def test_loss_and_margin_of_three_logits() -> None:
    found = answers(np.log(np.array([[1.0, 2.0, 5.0]])), np.array([2]))
    np.testing.assert_allclose(found.loss, [-np.log(5 / 8)])
    np.testing.assert_allclose(found.margin, [np.log(5 / 2)])


def test_tiny_losses_keep_their_digits() -> None:
    found = answers(np.array([[40.0, 0.0, 0.0]], dtype=np.float32), np.array([0]))
    assert found.loss[0] == pytest.approx(2 * np.exp(-40), rel=1e-12)


def test_huge_losses_stay_finite_and_adding_a_constant_changes_nothing() -> None:
    logits, targets = np.array([[5000.0, 0.0, -5000.0]]), np.array([2])
    assert answers(logits, targets).loss[0] == pytest.approx(10_000)
    np.testing.assert_allclose(answers(logits + 123, targets), answers(logits, targets))


def test_the_logits_are_left_as_they_were() -> None:
    logits = np.eye(3)
    answers(logits, np.array([0, 1, 2]))
    np.testing.assert_array_equal(logits, np.eye(3))


def test_herfindahl_of_equal_shares_is_one_over_their_number() -> None:
    np.testing.assert_allclose(herfindahl(np.array([[2, 2, 0, 0], [0, 5, 0, 0], [3, 1, 0, 0]])), [0.5, 1, 10 / 16])


def test_herfindahl_of_nothing_is_absent() -> None:
    assert np.isnan(herfindahl(np.zeros(4, dtype=int)))


@pytest.mark.parametrize(
    ("holds", "expected"),
    [([1, 1, 1], 0), ([0, 1, 1], 1), ([1, 0, 1], 2), ([1, 1, 0], 3), ([0, 0, 0], 3)],
)
def test_a_condition_lasts_from_after_its_last_failure(holds: list[int], expected: int) -> None:
    assert lasting_from(np.array(holds, dtype=bool)) == expected


def test_lasting_conditions_of_many_items_at_once() -> None:
    holds = np.array([[1, 0], [0, 0], [1, 0]], dtype=bool)
    np.testing.assert_array_equal(lasting_from(holds), [2, 3])
