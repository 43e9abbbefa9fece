"""Logits written by hand: sure of what the context has shown, even elsewhere."""

import numpy as np
import pytest
from judging import judged, over

from miscope.core import Checkpoint, Context, NotApplicable, Probe
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments.loss_by_position.measure import LossByPosition, loss_by_position
from miscope.maths.spectra import Basis

V, N_POS = 4, 20
FOLLOWING = np.tile(np.arange(N_POS) % V, (6, 1))
MODEL = ModuloAddition(7).model()


def context(following: np.ndarray | None) -> Context:
    tokens = np.zeros((6, N_POS), dtype=np.int64)
    probe = Probe(tokens, np.zeros(6, dtype=np.int64), np.arange(6) < 3, following=following)
    return Context(probe, N_POS - 1, Basis("fourier", V, is_native=False))


def test_positions_where_nothing_is_asked_are_left_out_and_an_even_network_scores_nothing() -> None:
    following = np.where(np.arange(N_POS) < 5, -1, FOLLOWING)
    following[3:, 5] = -1  # train inputs alone are asked at position 5
    following[3:, 6] = [0, 0, 1]
    logits = np.zeros((6, N_POS, V), dtype=np.float32)
    output = loss_by_position(Checkpoint(0, MODEL, {}, {"logits": logits}), context(following))
    assert output.position.tolist() == list(range(5, N_POS))
    assert np.isnan(output.test_loss[0]) and np.isnan(output.guess[0])
    assert output.train_loss[0] == pytest.approx(np.log(V))
    assert output.score == pytest.approx(0.0)
    assert output.guess[1] == pytest.approx(np.log(3) - 2 / 3 * np.log(2))  # two of three are alike
    assert not output.guess[2:].any()  # all are


def test_a_task_with_one_answer_has_no_such_loss() -> None:
    for following in (None, np.where(np.arange(N_POS) == 3, FOLLOWING, -1)):
        with pytest.raises(NotApplicable, match="The task asks for one answer"):
            loss_by_position(Checkpoint(0, MODEL, {}, {}), context(following))


# ---------------------------------------------------------------- what chance would show


def losses(loss: np.ndarray) -> LossByPosition:
    """The answers at each position are of two kinds, as many of one as of the other."""
    score = float(loss[-2:].mean() - loss[:2].mean())
    return LossByPosition(np.arange(N_POS), loss, loss, score, np.full(N_POS, np.log(2)))


def rising(end: float, seed: int) -> LossByPosition:
    """Twenty positions whose loss goes that far, on top of noise."""
    return losses(3 + 0.01 * np.random.default_rng(seed).normal(size=N_POS) + np.linspace(0, end, N_POS))


@pytest.mark.parametrize(("end", "verdict"), [(-0.5, "Beyond"), (0.0, "Within"), (0.5, "Within")])
def test_context_is_of_use_where_its_end_is_foretold_better_than_its_start(end: float, verdict: str) -> None:
    path = {0: rising(0, 1), 100: rising(end, 2)}
    assert judged("loss_by_position.overview", over(path)).verdict == f"{verdict} its null"
    assert "no checkpoint of step 0" in judged("loss_by_position.overview", over({100: path[100]})).reason


def test_a_position_is_known_where_its_loss_is_below_that_of_its_answers_shares() -> None:
    path = over({step: losses(np.where(np.arange(N_POS) == 9, loss, 0.8)) for step, loss in ((0, 0.75), (100, 0.2))})
    early, late = (judged("loss_by_position.positions", path, step=step) for step in path)
    assert early.verdict == "Within its null"
    assert late.sentence.startswith("Beyond its null: test loss at position 9 0.2, against 0.693 in")
