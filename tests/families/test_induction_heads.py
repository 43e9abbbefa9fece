"""Repeated blocks, checked token by token."""

from dataclasses import replace

import numpy as np

from miscope.families.induction_heads import InductionHeads

TASK = InductionHeads(n_tokens=16, length=21, min_period=4, max_period=9, test_periods=(6, 10))


def period_of(row: list[int]) -> int:
    """The distance at which a sequence of distinct tokens, after its first, repeats; by search."""
    content = row[1:]
    return next(p for p in range(1, len(content)) if content[p] == content[0])


def test_every_sequence_is_one_block_of_distinct_tokens_over_and_over() -> None:
    for row in TASK.stream(0, 3, 50).tokens.tolist():
        content, p = row[1:], period_of(row)
        assert row[0] == TASK.n_tokens
        assert len(set(content[:p])) == p
        assert all(token == content[i % p] for i, token in enumerate(content))


def test_asked_is_what_followed_the_same_token_before_and_nothing_else() -> None:
    examples = TASK.stream(0, 3, 50)
    for row, targets in zip(examples.tokens.tolist(), examples.targets.tolist(), strict=True):
        for i, token in enumerate(row):
            before = [row[j + 1] for j in range(i) if row[j] == token]
            assert targets[i] == (before[0] if before else -1)
            assert len(set(before)) <= 1


def test_asked_everywhere_the_stream_has_all_next_tokens_and_the_measured_sample_those_foretold() -> None:
    everywhere = replace(TASK, is_asked_everywhere=True)
    asked = everywhere.stream(5, 0, 20)
    np.testing.assert_array_equal(asked.targets[:, :-1], asked.tokens[:, 1:])
    assert (asked.targets >= 0).all()
    np.testing.assert_array_equal(everywhere.split(5).train.targets, TASK.split(5).train.targets)


def test_the_test_has_the_held_out_periods_and_training_never_sees_them() -> None:
    split = TASK.split(0)
    assert {period_of(row) for row in split.test.tokens.tolist()} == {6, 10}
    streamed = (TASK.stream(0, step, 64).tokens.tolist() for step in range(5))
    seen = {period_of(row) for batch in (split.train.tokens.tolist(), *streamed) for row in batch}
    assert seen == {4, 5, 7, 8, 9}


def test_the_probe_s_distractor_stood_two_after_and_is_right_in_the_corrupted_counterpart() -> None:
    probe = TASK.context(0).probe
    assert probe.distractors is not None and probe.corrupted is not None
    rows = zip(probe.tokens.tolist(), probe.corrupted.tolist(), probe.targets, probe.distractors, strict=True)
    for row, other, answer, distractor in rows:
        block = row[1 : 1 + period_of(row)]
        at = block.index(row[-1])
        assert (answer, distractor) == (block[(at + 1) % len(block)], block[(at + 2) % len(block)])
        swap = {answer: distractor, distractor: answer}
        assert other == [swap.get(token, token) for token in row]
        assert other[-1] == row[-1]


def test_latents_are_those_of_the_answer_position() -> None:
    context = TASK.context(0)
    periods = [period_of(row) for row in context.probe.tokens.tolist()]
    assert context.latents["period"].tolist() == [sorted(set(periods)).index(p) for p in periods]
    for row, p, place in zip(
        context.probe.tokens.tolist(), periods, context.latents["place in the block"], strict=True
    ):
        assert row[1 : 1 + p][place] == row[-1]
    np.testing.assert_array_equal(context.latents["previous token"], context.probe.tokens[:, -2])
