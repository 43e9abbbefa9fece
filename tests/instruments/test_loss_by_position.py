"""Logits written by hand: sure of what the context has shown, even elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from judging import judged, path

from miscope.calibration.models import on_planted, probe, shape
from miscope.core import NotApplicable
from miscope.instruments.loss_by_position.measure import LossByPosition, instrument

V, N_POS = 4, 20
FOLLOWING = np.tile(np.arange(N_POS) % V, (6, 1))


def measured(following: np.ndarray | None) -> LossByPosition:
    """Of a network that gives all answers the same logit."""
    inputs = replace(probe(6).probe, tokens=FOLLOWING, is_train=np.arange(6) < 3, following=following)
    return on_planted(instrument, shape(), replace(probe(6), probe=inputs), logits=np.zeros((6, N_POS, V)))


def test_positions_where_nothing_is_asked_are_left_out_and_an_even_network_scores_nothing() -> None:
    following = np.where(np.arange(N_POS) < 5, -1, FOLLOWING)
    following[3:, 5] = -1  # train inputs alone are asked at position 5
    following[3:, 6] = [0, 0, 1]
    output = measured(following)
    assert output.position.tolist() == list(range(5, N_POS))
    assert np.isnan(output.test_loss[0]) and np.isnan(output.guess[0])
    assert output.train_loss[0] == pytest.approx(np.log(V))
    assert output.score == pytest.approx(0.0)
    assert output.guess[1] == pytest.approx(np.log(3) - 2 / 3 * np.log(2))  # two of three are alike
    assert not output.guess[2:].any()  # all are


def test_a_task_with_one_answer_has_no_such_loss() -> None:
    for following in (None, np.where(np.arange(N_POS) == 3, FOLLOWING, -1)):
        with pytest.raises(NotApplicable, match="The task asks for one answer"):
            measured(following)


def losses(loss: np.ndarray) -> LossByPosition:
    """The answers at each position are of two kinds, as many of one as of the other."""
    score = float(loss[-2:].mean() - loss[:2].mean())
    return LossByPosition(np.arange(N_POS), loss, loss, score, np.full(N_POS, np.log(2)))


def rising(end: float, seed: int) -> LossByPosition:
    """Twenty positions whose loss goes that far, on top of noise."""
    return losses(3 + 0.01 * np.random.default_rng(seed).normal(size=N_POS) + np.linspace(0, end, N_POS))


@pytest.mark.parametrize(("end", "verdict"), [(-0.5, "Beyond"), (0.0, "Within"), (0.5, "Within")])
def test_context_is_of_use_where_its_end_is_foretold_better_than_its_start(end: float, verdict: str) -> None:
    view, last = "loss_by_position.overview", rising(end, 2)
    assert judged(view, path(rising(0, 1), last)).verdict == f"{verdict} its null"
    assert "no checkpoint of step 0" in judged(view, path(last, first=100)).reason


def test_a_position_is_known_where_its_loss_is_below_that_of_its_answers_shares() -> None:
    both = path(*(losses(np.where(np.arange(N_POS) == 9, loss, 0.8)) for loss in (0.75, 0.2)))
    early, late = (judged("loss_by_position.positions", both, step=step) for step in both)
    assert early.verdict == "Within its null"
    assert late.sentence.startswith("Beyond its null: test loss at position 9 0.2, against 0.693 in")
