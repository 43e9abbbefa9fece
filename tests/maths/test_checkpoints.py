"""Times that checkpoints stand for, by hand."""

import numpy as np

from miscope.maths.checkpoints import time_weights


def test_even_checkpoints_weigh_one_and_dense_ones_less() -> None:
    np.testing.assert_allclose(time_weights(np.array([0, 10, 20, 30])), 1)
    # gaps 10, 10, 20, 20, so the times are 10, 10, 15, 20, 20: mean 15
    np.testing.assert_allclose(time_weights(np.array([0, 10, 20, 40, 60])), np.array([10, 10, 15, 20, 20]) / 15)


def test_a_single_checkpoint_weighs_one() -> None:
    assert time_weights(np.array([700])).tolist() == [1]
