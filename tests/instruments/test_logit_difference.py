"""Logits written by hand: four inputs, three answers."""

from dataclasses import replace

import numpy as np
import pytest
from judging import CONTEXT, assert_told_apart, path

from miscope.calibration.models import on_planted, probe, shape
from miscope.core import NotApplicable, Probe
from miscope.instruments.logit_difference.measure import LogitDifference, instrument

SHARES = ("distribution", "shares")  # views of the share of inputs
PROBE = replace(
    probe(4).probe, targets=np.array([0, 1, 2, 0]), is_train=np.arange(4) < 2, distractors=np.array([1, 0, 0, 2])
)
LOGITS = np.array([[3, 1, 0], [2, -1, 0], [5, 0, 5], [0, 0, -4]], dtype=np.float32)  # differences 2, -3, 0, 4


def measured(inputs: Probe = PROBE, logits: np.ndarray = LOGITS) -> LogitDifference:
    return on_planted(instrument, shape(), replace(probe(4), probe=inputs), logits=logits)


def test_the_difference_is_the_right_logit_minus_that_of_the_distractor_and_a_tie_is_no_lead() -> None:
    output = measured()
    assert output.difference.tolist() == [2, -3, 0, 4]
    assert (output.train_mean, output.train_std) == (-0.5, 2.5)
    assert (output.test_mean, output.test_std) == (2, 2)
    assert (output.train_positive, output.test_positive) == (0.5, 0.5)


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    plain, shifted = measured(), measured(logits=LOGITS + np.float32(100))
    np.testing.assert_allclose(shifted.difference, plain.difference)
    assert shifted.test_mass == pytest.approx(plain.test_mass)


def test_a_split_without_inputs_is_absent() -> None:
    output = measured(replace(PROBE, is_train=np.ones(4, dtype=bool)))
    assert {getattr(output, f"test_{name}") for name in ("mean", "std", "positive", "mass")} == {None}
    assert output.train_mean == 0.75


def test_a_task_that_names_no_distractor_is_refused_with_the_reason() -> None:
    with pytest.raises(NotApplicable, match="names no distractor"):
        measured(replace(PROBE, distractors=None))


@pytest.mark.parametrize(
    ("view", "field", "lead", "none"),
    [("overview", "test_mean", 0.5, (0.1, -2.0)), *((view, "test_positive", 0.9, (0.55, 0.1)) for view in SHARES)],
)
def test_a_lead_is_beyond_where_it_is_more_than_tosses_of_a_coin(
    view: str, field: str, lead: float, none: tuple[float, float]
) -> None:
    beyond, *within = (path(replace(measured(), test_std=1.0, **{field: x})) for x in (lead, *none))
    for chance in within:
        assert_told_apart(f"logit_difference.{view}", beyond, chance, CONTEXT)
