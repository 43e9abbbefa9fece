"""Inputs whose record is written out."""

import numpy as np
import pytest
from miscope.analyzers.losses import Losses

from miscope.core import Context, MiscopeError, NotApplicable, Probe
from miscope.instrument import Artifact
from miscope.maths.spectra import Basis
from miscope.trackers.graduation import Graduation, graduation

STEPS = (0, 10, 20, 50, 100, 200)
RECORDS = {  # one letter per checkpoint: right or wrong
    "RRRRRR": 0,
    "wwRRRR": 20,
    "wRwRRR": 50,
    "RRRwww": 0,
    "RRwRRw": None,
    "wwwwRR": None,
    "wwwwww": None,
}
FORGOTTEN = [0, 0, 1, 1, 2, 0, 0]


def tracked(records: list[str], **settings: int) -> Graduation:
    n = len(records)
    is_train = np.arange(n) % 2 == 0
    right = np.array([[letter == "R" for letter in record] for record in records]).T
    probe = Probe(np.zeros((n, 1), dtype=np.int64), np.zeros(n, dtype=np.int64), is_train)
    outputs = {step: losses(row, is_train) for step, row in zip(STEPS, right, strict=False)}
    context = Context(probe=probe, answer_position=0, basis=Basis("fourier", 4))
    return graduation(Artifact(tuple(outputs), outputs.__getitem__), context, **settings)


def losses(is_correct: np.ndarray, is_train: np.ndarray) -> Losses:
    return Losses(
        train_loss=1.0, test_loss=1.0, all_loss=1.0, train_accuracy=1.0, test_accuracy=1.0, all_accuracy=1.0,
        class_accuracy=np.ones(1), train_margin_mean=0.0, train_margin_min=0.0, test_margin_mean=0.0,
        test_margin_min=0.0, is_correct=is_correct, confidence=np.zeros(len(is_train), dtype=np.float16),
        is_train=is_train,
    )  # fmt: skip


def test_an_input_graduates_at_the_first_of_three_right_checkpoints() -> None:
    found = tracked(list(RECORDS))
    expected = [np.nan if step is None else step for step in RECORDS.values()]
    np.testing.assert_array_equal(found.graduation_step, expected)
    assert found.n_forgotten.tolist() == FORGOTTEN
    assert found.is_right_at_end.tolist() == [record[-1] == "R" for record in RECORDS]
    assert found.is_train.tolist() == [True, False] * 3 + [True]


def test_the_number_of_checkpoints_is_a_setting() -> None:
    found = tracked(["wRwwww", "RRwRRR"], hold=1)
    np.testing.assert_array_equal(found.graduation_step, [10, 0])
    assert found.hold == 1
    with pytest.raises(MiscopeError, match="`hold` = 0; allowed: 1 or more"):
        tracked(["RRRRRR"], hold=0)


def test_two_checkpoints_hold_no_run_of_three() -> None:
    with pytest.raises(NotApplicable, match="There are 2 checkpoints"):
        tracked(["RR"])
