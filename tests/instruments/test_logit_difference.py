"""Logits written by hand: four inputs, three answers."""

from dataclasses import replace

import numpy as np
import pytest
from judging import CONTEXT, judged, over

from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.instruments.logit_difference.measure import LogitDifference, logit_difference
from miscope.maths.spectra import Basis

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=0, n_ctx=2, d_vocab=3, d_vocab_out=3)
PROBE = Probe(
    tokens=np.zeros((4, 2), dtype=np.int64),
    targets=np.array([0, 1, 2, 0]),
    is_train=np.array([True, True, False, False]),
    distractors=np.array([1, 0, 0, 2]),
)
LOGITS = np.array([[3, 1, 0], [2, -1, 0], [5, 0, 5], [0, 0, -4]], dtype=np.float32)  # differences 2, -3, 0, 4


def measured(probe: Probe = PROBE, logits: np.ndarray = LOGITS) -> LogitDifference:
    context = Context(probe=probe, answer_position=1, basis=Basis("fourier", 3))
    return logit_difference(Checkpoint(0, MODEL, {}, {"logits": logits}), context)


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


# ---------------------------------------------------------------- what chance would show


def verdict(view: str, **changes: float) -> str:
    return judged(view, over({0: replace(measured(), **changes)}), CONTEXT).verdict


def test_a_lead_is_beyond_where_it_is_more_than_toss_ups() -> None:
    verdicts = [verdict("logit_difference.overview", test_mean=mean, test_std=1.0) for mean in (0.5, 0.1, -2.0)]
    assert verdicts == ["Beyond its null", "Within its null", "Within its null"]


@pytest.mark.parametrize("view", ["logit_difference.distribution", "logit_difference.shares"])
def test_the_right_answer_leads_on_more_inputs_than_tosses_of_a_coin(view: str) -> None:
    verdicts = [verdict(view, test_positive=share) for share in (0.9, 0.55, 0.1)]
    assert verdicts == ["Beyond its null", "Within its null", "Within its null"]
