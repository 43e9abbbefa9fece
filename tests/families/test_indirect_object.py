"""The sequences, by brute force."""

import numpy as np

from miscope.families.indirect_object import IndirectObject

FAMILY = IndirectObject(n_names=4)
BOS, MID, TO = 4, 5, 6


def test_every_pair_of_names_comes_with_both_subjects_and_the_other_one_is_the_answer() -> None:
    probe = FAMILY.context(0).probe
    expected = [
        ([BOS, a, b, MID, subject, TO], other)
        for a in range(4)
        for b in range(4)
        if a != b
        for subject, other in ((a, b), (b, a))
    ]
    assert list(zip(probe.tokens.tolist(), probe.targets.tolist(), strict=True)) == expected


def test_the_distractor_is_the_name_that_is_said_twice() -> None:
    probe = FAMILY.context(0).probe
    assert probe.distractors is not None
    for tokens, distractor, answer in zip(
        probe.tokens.tolist(), probe.distractors.tolist(), probe.targets.tolist(), strict=True
    ):
        assert tokens.count(distractor) == 2
        assert tokens.count(answer) == 1


def test_the_counterpart_repeats_the_other_name_so_that_right_answer_and_distractor_change_places() -> None:
    probe = FAMILY.context(0).probe
    assert probe.corrupted is not None and probe.distractors is not None
    answer_to = {tuple(tokens): answer for tokens, answer in zip(probe.tokens.tolist(), probe.targets, strict=True)}
    assert [answer_to[tuple(tokens)] for tokens in probe.corrupted.tolist()] == probe.distractors.tolist()
    np.testing.assert_array_equal((probe.corrupted != probe.tokens).sum(axis=0), [0, 0, 0, 0, len(probe.tokens), 0])


def test_a_held_out_pair_is_held_out_with_both_subjects() -> None:
    probe = FAMILY.context(3).probe
    trained, held_out = (
        {tuple(row[1:3]) for row in probe.tokens[i].tolist()} for i in (probe.is_train, ~probe.is_train)
    )
    assert (len(trained), len(held_out)) == (9, 3)
    assert not trained & held_out
    assert probe.is_train.sum() == 18


def test_a_network_that_answers_either_name_is_right_half_of_the_time() -> None:
    probe = FAMILY.context(0).probe
    assert np.mean(probe.targets == probe.tokens[:, 1]) == 0.5
