"""Onsets of curves drawn by hand."""

import numpy as np
import pytest

from miscope.maths.events import Onset, lead, onset, order_of, sign_test

STEPS = np.array([0, 10, 20, 40, 80, 100])


def test_an_onset_lies_between_the_two_checkpoints_where_half_of_the_way_is_passed() -> None:
    assert onset(STEPS, np.array([0.0, 0.0, 1.0, 4.0, 6.0, 10.0])) == Onset(40, 80, 0.0, 10.0, 90)
    assert onset(STEPS, np.array([5.0, 5.0, 5.0, 1.0, 1.0, 1.0])) == Onset(20, 40, 5.0, 1.0, 20)


def test_an_onset_lasts() -> None:
    early_spike = np.array([0.0, 9.0, 0.0, 0.0, 8.0, 10.0])
    assert onset(STEPS, early_spike) == Onset(40, 80, 0.0, 10.0, 60)


@pytest.mark.parametrize(
    "values",
    [[1.0] * 6, [0.0, 5.0, 9.0, 9.0, 5.0, 0.5], [0.0, 1.0, np.nan, 3.0, 4.0, 5.0], [0.0, 1.0, np.inf, 3.0, 4.0, 5.0]],
)
def test_a_curve_that_stands_still_comes_back_or_is_not_finite_has_none(values: list[float]) -> None:
    assert onset(STEPS, np.array(values)) is None


def test_intervals_that_overlap_have_no_order() -> None:
    early, late, both = (Onset(a, b, 0.0, 1.0, 0) for a, b in ((10, 20), (20, 40), (10, 40)))
    assert (order_of(early, late), order_of(late, early), order_of(early, both)) == (-1, 1, 0)
    assert lead(early, late) == 15.0
    assert lead(late, early) == -15.0


def test_the_sign_test_by_hand() -> None:
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(2, 1) == 1.0
    assert sign_test(0, 0) == 1.0
