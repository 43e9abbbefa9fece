"""The answers by brute force, and what shuffling leaves of them."""

import numpy as np

from miscope.families.parity import Parity


def test_the_answer_is_whether_the_number_of_ones_is_odd() -> None:
    probe = Parity(n_bits=4).context(0).probe
    cube = [(a, b, c, d) for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]
    assert [tuple(row) for row in probe.tokens.tolist()] == [(*x, 2) for x in cube]
    assert probe.targets.tolist() == [sum(x) % 2 for x in cube]


def test_the_probe_is_the_cube_that_the_grid_names() -> None:
    context = Parity(n_bits=5).context(3)
    assert context.grid == (2,) * 5
    assert context.grid_axes == ("x1", "x2", "x3", "x4", "x5")
    assert len(np.unique(context.probe.tokens, axis=0)) == 32
    assert context.relevant_axes is None


def test_the_train_fraction_is_kept_to_the_input() -> None:
    split = Parity(n_bits=6, train_fraction=0.3).split(1)
    assert (len(split.train), len(split.test)) == (19, 45)


def test_the_corrupted_counterpart_differs_in_one_bit_and_in_the_answer() -> None:
    probe = Parity(n_bits=6).context(2).probe
    assert probe.corrupted is not None and probe.distractors is not None
    assert ((probe.corrupted != probe.tokens).sum(axis=1) == 1).all()
    np.testing.assert_array_equal(probe.corrupted[:, :6].sum(axis=1) % 2, probe.distractors)


def test_shuffled_answers_are_as_many_of_each_kind_and_have_nothing_to_do_with_the_parity() -> None:
    plain, shuffled = (Parity(is_shuffled=is_shuffled).context(1).probe for is_shuffled in (False, True))
    np.testing.assert_array_equal(shuffled.is_train, plain.is_train)
    assert shuffled.targets.sum() == plain.targets.sum() == 512
    assert abs((shuffled.targets == plain.targets).mean() - 0.5) < 0.1
    assert shuffled.corrupted is None  # the flip of a bit says nothing about a shuffled answer
