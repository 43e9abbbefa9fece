"""The answers by brute force, and a stream that never meets the test inputs."""

import numpy as np

from miscope.families.sparse_parity import SparseParity


def rows(tokens: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(row) for row in tokens.tolist()}


def test_the_answer_is_the_parity_of_the_relevant_bits_alone() -> None:
    context = SparseParity(n_bits=6, n_relevant=2).context(5)
    assert context.relevant_axes is not None and len(context.relevant_axes) == 2
    i, j = context.relevant_axes
    assert [(x[i] + x[j]) % 2 for x in context.probe.tokens.tolist()] == context.probe.targets.tolist()


def test_the_data_seed_draws_the_relevant_bits() -> None:
    drawn = {SparseParity().context(seed).relevant_axes for seed in range(5)}
    assert len(drawn) > 1
    assert all(axes == tuple(sorted(set(axes or ()))) and len(axes or ()) == 4 for axes in drawn)


def test_fresh_examples_are_right_differ_by_step_and_are_never_test_inputs() -> None:
    family = SparseParity(n_bits=6, n_relevant=3)
    test, relevant = rows(family.split(1).test.tokens), list(family.context(1).relevant_axes or ())
    batches = [family.stream(1, step, 500) for step in (0, 0, 1)]
    assert all(batch is not None and not rows(batch.tokens) & test for batch in batches)
    first, again, other = (batch.tokens for batch in batches if batch is not None)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert rows(first) == rows(family.context(1).probe.tokens) - test  # 500 draws of 48 inputs meet them all
    np.testing.assert_array_equal(batches[0].targets[:, 0], first[:, relevant].sum(axis=1) % 2)  # type: ignore[union-attr]


def test_a_fixed_training_set_has_its_size_and_no_stream() -> None:
    family = SparseParity(n_bits=40, n_relevant=3, n_train=1000)
    assert len(family.split(0).train) == 1000
    assert family.stream(0, 0, 32) is None


def test_a_cube_too_large_to_list_is_probed_on_the_split() -> None:
    family = SparseParity(n_bits=40, n_relevant=3, n_train=1000)
    context = family.context(0)
    assert context.grid is None
    assert len(context.probe.tokens) == 2024
    assert context.probe.is_train.sum() == 1000


def test_the_corrupted_counterpart_differs_in_one_relevant_bit_and_in_the_answer() -> None:
    context = SparseParity(n_bits=7, n_relevant=3).context(2)
    probe, relevant = context.probe, list(context.relevant_axes or ())
    assert probe.corrupted is not None and probe.distractors is not None
    differs = probe.corrupted != probe.tokens
    assert (differs.sum(axis=1) == 1).all() and differs[:, relevant].any(axis=1).all()
    np.testing.assert_array_equal(probe.corrupted[:, relevant].sum(axis=1) % 2, probe.distractors)
