"""Onsets of curves drawn by hand."""

import numpy as np
import pytest

from miscope.maths import events

STEPS = np.array([0, 10, 20, 40, 80, 100])


def test_an_onset_lies_between_the_two_checkpoints_where_half_of_the_way_is_passed() -> None:
    assert events.onset(STEPS, np.array([0.0, 0.0, 1.0, 4.0, 6.0, 10.0])) == events.Onset(40, 80, 0.0, 10.0, 90)
    assert events.onset(STEPS, np.array([5.0, 5.0, 5.0, 1.0, 1.0, 1.0])) == events.Onset(20, 40, 5.0, 1.0, 20)
    early_spike = np.array([0.0, 9.0, 0.0, 0.0, 8.0, 10.0])  # which does not last
    assert events.onset(STEPS, early_spike) == events.Onset(40, 80, 0.0, 10.0, 60)


@pytest.mark.parametrize(
    "values",
    [[1.0] * 6, [0.0, 5.0, 9.0, 9.0, 5.0, 0.5], [0.0, 1.0, np.nan, 3.0, 4.0, 5.0], [0.0, 1.0, np.inf, 3.0, 4.0, 5.0]],
)
def test_a_curve_that_stands_still_comes_back_or_is_not_finite_has_none(values: list[float]) -> None:
    assert events.onset(STEPS, np.array(values)) is None


def test_intervals_that_overlap_have_no_order() -> None:
    early, late, both = (events.Onset(a, b, 0.0, 1.0, 0) for a, b in ((10, 20), (20, 40), (10, 40)))
    assert (events.order_of(early, late), events.order_of(late, early), events.order_of(early, both)) == (-1, 1, 0)
    assert (events.lead(early, late), events.lead(late, early)) == (15.0, -15.0)
    assert [events.sign_test(*counts) for counts in ((5, 0), (2, 1), (0, 0))] == pytest.approx([2 / 32, 1, 1])


def steps_of(n: int) -> np.ndarray:
    return np.arange(n) * 10


def levels(rng: np.random.Generator, *parts: tuple[int, float], scale: float = 0.0) -> np.ndarray:
    clean = np.concatenate([np.full(n, level) for n, level in parts])
    return clean + scale * rng.normal(size=len(clean))


def test_levels_change_between_the_checkpoints_where_they_were_cut() -> None:
    clean = levels(np.random.default_rng(0), (20, 0.0), (15, 5.0), (25, 1.0))
    assert events.change_points(steps_of(60), clean) == (events.ChangePoint(190, 200), events.ChangePoint(340, 350))


def test_noise_does_not_hide_the_changes_nor_make_any() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noisy = levels(rng, (20, 0.0), (15, 5.0), (25, 1.0), scale=0.5)
        assert events.change_points(steps_of(60), noisy) == (events.ChangePoint(190, 200), events.ChangePoint(340, 350))
    pure = [events.change_points(steps_of(60), np.random.default_rng(s).normal(size=60)) for s in range(20)]
    assert sum(map(bool, pure)) <= 2


def test_slopes_change_where_lines_meet_whatever_the_gaps() -> None:
    steps = np.array([*range(0, 100, 10), *range(100, 300, 4), *range(300, 1001, 50)])
    bent = np.maximum(steps - 200, 0) * 0.1
    ((before, by),) = events.change_points(steps, bent, cost="linear")
    assert before <= 204 and by >= 196
    assert events.change_points(steps, 3.0 * steps, cost="linear") == ()
    assert events.change_points(steps, 3.0 * steps) != ()  # a line has no one level


@pytest.mark.parametrize("values", [[1.0] * 20, [0.0, 1.0, 0.0], [0.0] * 10 + [np.nan] * 10])
def test_a_curve_that_is_constant_short_or_not_finite_has_no_changes(values: list[float]) -> None:
    assert events.change_points(steps_of(len(values)), np.array(values)) == ()


def test_the_noise_of_gaussians_is_theirs_and_jumps_do_not_move_it() -> None:
    values = np.random.default_rng(0).normal(scale=0.3, size=4000)
    assert events.noise(values) == pytest.approx(0.3, rel=0.05)
    assert events.noise(values + 100 * (np.arange(4000) > 2000)) == pytest.approx(events.noise(values), rel=0.01)
    assert events.noise(np.ones(1)) == 0


def test_a_dearer_change_is_made_less_often_and_the_elbow_keeps_the_planted_ones() -> None:
    values = levels(np.random.default_rng(1), (20, 0.0), (20, 6.0), (20, 2.0), scale=0.4)
    penalties = ((values - values.mean()) ** 2).sum() * np.logspace(-4, 0, 24)
    n_changes = [len(events.change_points(steps_of(60), values, penalty)) for penalty in penalties]
    assert (np.diff(n_changes) <= 0).all() and n_changes[0] > 5
    assert len(events.change_points(steps_of(60), values, events.elbow(steps_of(60), values))) == 2
    assert events.elbow(steps_of(20), np.ones(20)) is None


@pytest.mark.parametrize("width", [0.05, 0.3])
def test_a_logistic_of_the_logarithm_is_found_again(width: float) -> None:
    steps = np.array([0, *np.unique(np.geomspace(1, 10_000, 80).round().astype(int))])
    clean = 3 - 2 / (1 + np.exp((np.log(700) - np.log(np.maximum(steps, 1))) / width))
    assert events.sharpness(steps, clean) == pytest.approx((700, width, 1), rel=1e-3)
    assert events.sharpness(np.arange(50), np.zeros(50)) is None
    assert events.sharpness(np.arange(4), np.array([0.0, 0.0, 1.0, 1.0])) is None
