"""Logits written by hand: sure of what the context has shown, even elsewhere."""

import numpy as np
import pytest

from miscope.analyzers.loss_by_position import loss_by_position
from miscope.core import Checkpoint, Context, NotApplicable, Probe
from miscope.families.modulo_addition import ModuloAddition
from miscope.maths.spectra import Basis

V, N_POS = 4, 20
FOLLOWING = np.tile(np.arange(N_POS) % V, (6, 1))
MODEL = ModuloAddition(7).model()


def context(following: np.ndarray | None) -> Context:
    tokens = np.zeros((6, N_POS), dtype=np.int64)
    probe = Probe(tokens, np.zeros(6, dtype=np.int64), np.arange(6) < 3, following=following)
    return Context(probe, N_POS - 1, Basis("fourier", V, is_native=False))


def test_a_network_that_knows_the_second_half_scores_minus_the_logarithm_of_its_choices() -> None:
    logits = np.zeros((6, N_POS, V), dtype=np.float32)
    logits[:, 10:] = 50 * np.eye(V, dtype=np.float32)[FOLLOWING[:, 10:]]
    found = loss_by_position(Checkpoint(0, MODEL, {}, {"logits": logits}), context(FOLLOWING))
    assert found.position.tolist() == list(range(N_POS))
    np.testing.assert_allclose(found.test_loss, [np.log(V)] * 10 + [0.0] * 10, atol=1e-12)
    np.testing.assert_allclose(found.train_loss, found.test_loss)
    assert found.score == pytest.approx(-np.log(V))


def test_positions_where_nothing_is_asked_are_left_out_and_an_even_network_scores_nothing() -> None:
    following = np.where(np.arange(N_POS) < 5, -1, FOLLOWING)
    following[3:, 5] = -1  # train inputs alone are asked at position 5
    logits = np.zeros((6, N_POS, V), dtype=np.float32)
    found = loss_by_position(Checkpoint(0, MODEL, {}, {"logits": logits}), context(following))
    assert found.position.tolist() == list(range(5, N_POS))
    assert np.isnan(found.test_loss[0])
    assert found.train_loss[0] == pytest.approx(np.log(V))
    assert found.score == pytest.approx(0.0)


def test_a_task_with_one_answer_has_no_such_loss() -> None:
    for following in (None, np.where(np.arange(N_POS) == 3, FOLLOWING, -1)):
        with pytest.raises(NotApplicable, match="The task asks for one answer"):
            loss_by_position(Checkpoint(0, MODEL, {}, {}), context(following))
