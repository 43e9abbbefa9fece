"""Inputs whose record is written out, and networks that learn them, guess them, or forget them."""

from dataclasses import replace

import judging
import numpy as np
import pytest
from judging import CONTEXT, P

from miscope.calibration.models import on_planted, probe, shape, tracked
from miscope.core import Context, MiscopeError, NotApplicable
from miscope.instruments.first_learned_step.measure import FirstLearnedStep, instrument
from miscope.instruments.losses.measure import instrument as losses_instrument

STEPS = (0, 10, 20, 50, 100, 200)
RECORDS = {  # one letter per checkpoint: right or wrong; when it is learned, how often forgotten
    "RRRRRR": (0, 0),
    "wwRRRR": (20, 0),
    "wRwRRR": (50, 1),
    "RRRwww": (0, 1),
    "RRwRRw": (np.nan, 2),
    "wwwwRR": (np.nan, 0),
    "wwwwww": (np.nan, 0),
}


def learned(*logits: np.ndarray, context: Context = CONTEXT, **settings: int) -> FirstLearnedStep:
    model = shape(d_vocab_out=logits[0].shape[1])
    path = {s: on_planted(losses_instrument, model, context, logits=x) for s, x in zip(STEPS, logits, strict=False)}
    return tracked(instrument, path, context=context, **settings)


def recorded(*records: str, **settings: int) -> FirstLearnedStep:
    plain = probe(len(records))
    inputs = replace(plain.probe, is_train=np.arange(len(records)) % 2 == 0)
    wrong = np.array([[letter == "w" for letter in record] for record in records]).T.astype(int)
    return learned(*np.eye(2)[wrong], context=replace(plain, probe=inputs), **settings)


def test_an_input_is_learned_at_the_first_of_three_right_checkpoints() -> None:
    inputs = recorded(*RECORDS)
    np.testing.assert_array_equal(np.transpose([inputs.learned_step, inputs.n_forgotten]), list(RECORDS.values()))
    assert inputs.is_right_at_end.tolist() == [record[-1] == "R" for record in RECORDS]
    assert inputs.is_train.tolist() == [True, False] * 3 + [True]


def test_the_number_of_checkpoints_is_a_setting_and_two_hold_no_run_of_three() -> None:
    once = recorded("wRwwww", "RRwRRR", hold=1)
    np.testing.assert_array_equal(once.learned_step, [10, 0])
    assert once.hold == 1
    with pytest.raises(MiscopeError, match="`hold` = 0; allowed: 1 or more"):
        recorded("RRRRRR", hold=0)
    with pytest.raises(NotApplicable, match="There are 2 checkpoints"):
        recorded("RR")


RIGHT = 9 * np.eye(P)[CONTEXT.probe.targets]


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(P * P, P))


@pytest.mark.parametrize("view", ["first_learned_step.overview", "first_learned_step.share"])
def test_inputs_that_last_are_beyond_guessing_and_a_guess_that_stays_is_not(view: str) -> None:
    judging.assert_told_apart(view, learned(noise(0), *[RIGHT] * 4), learned(*[noise(0)] * 5))


def test_inputs_that_come_and_go_are_forgotten_more_often_than_guesses() -> None:
    view, one_for_all = "first_learned_step.forgotten", (np.tile(np.eye(P)[k], (P * P, 1)) for k in range(6))
    for within in (map(noise, range(6)), one_for_all):
        judging.assert_told_apart(view, learned(*[RIGHT, noise(0)] * 3), learned(*within))
