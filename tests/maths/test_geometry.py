"""Curves whose shape is known."""

import numpy as np
import pytest

from miscope.maths.geometry import cosines, signed_area


def test_the_unit_square_encloses_one_and_minus_one_the_other_way_round() -> None:
    x, y = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert signed_area(x, y) == pytest.approx(1)
    assert signed_area(x[::-1], y[::-1]) == pytest.approx(-1)


def test_a_figure_of_eight_encloses_nothing_in_sum() -> None:
    t = np.linspace(0, 2 * np.pi, 101)[:-1]
    assert signed_area(np.sin(t), np.sin(2 * t)) == pytest.approx(0, abs=1e-12)


def test_cosines_tell_straight_on_from_a_right_angle_and_from_standing_still() -> None:
    found = cosines(np.array([6.0, 0.0, -2.0, 0.0]), np.array([4.0, 1.0, 2.0, 0.0]), np.array([9.0, 1.0, 2.0, 1.0]))
    np.testing.assert_allclose(found, [1, 0, -1, np.nan])
