"""Texts written for the purpose, and the one that comes with us."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

from miscope.core import MiscopeError
from miscope.families.text import Text, stories


def entropy_nats(codes: np.ndarray, after: int) -> float:
    """Of the next character, given so many before it."""
    size = int(codes.max()) + 1
    n = len(codes) - after
    key = sum((codes[i : i + n] * size ** (after - 1 - i) for i in range(after)), np.zeros(n, dtype=np.int64))

    def of(values: np.ndarray) -> float:
        share = np.unique(values, return_counts=True)[1] / n
        return float(-(share * np.log(share)).sum())

    return of(key * size + codes[after:]) - of(key)


def words_of(task: Text, row: np.ndarray) -> str:
    return "".join(task.characters[token] for token in row.tolist())


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A text in which every crop tells where it stands."""
    path = tmp_path / "numbers.txt"
    path.write_text(" ".join(str(n) for n in range(1000)), encoding="utf-8")
    return path


def test_a_target_is_the_character_that_follows(numbered: Path) -> None:
    task, text = Text(path=str(numbered), length=8), numbered.read_text()
    examples = task.stream(0, 0, 20)
    for row, targets in zip(examples.tokens, examples.targets, strict=True):
        assert words_of(task, row[1:]) == words_of(task, targets[:-1])
        assert words_of(task, row) + words_of(task, targets[-1:]) in text


def test_training_reads_the_first_nine_tenths_and_the_test_the_last(numbered: Path) -> None:
    task, text = Text(path=str(numbered), length=12), numbered.read_text()
    cut = len(text) * 9 // 10
    split = task.split(3)
    streamed = [row for step in range(20) for row in task.stream(3, step, 16).tokens]
    assert all(words_of(task, row) in text[:cut] for row in [*split.train.tokens, *streamed])
    assert all(words_of(task, row) in text[cut:] for row in split.test.tokens)


def test_the_probe_asks_for_the_character_after_the_last_and_its_distractor_is_another() -> None:
    task = Text(length=16)
    split, probe = task.split(0), task.context(0).probe
    np.testing.assert_array_equal(probe.targets, [*split.train.targets[:, -1], *split.test.targets[:, -1]])
    assert probe.distractors is not None
    assert {task.characters[token] for token in probe.distractors.tolist()} == {" ", "e"}
    assert (probe.distractors != probe.targets).all()


def test_latents_are_read_off_the_end_of_the_row() -> None:
    task = Text(length=16)
    context = task.context(0)
    for i, row in enumerate(context.probe.tokens):
        words = words_of(task, row)
        last_word = re.search(r"[a-zA-Z]*$", words)
        assert last_word is not None
        assert context.latents["letters since the word began"][i] == min(len(last_word[0]), 15)
        assert task.characters[context.latents["present character"][i]] == words[-1]
        assert task.characters[context.latents["previous character"][i]] == words[-2]


def test_shuffled_text_has_the_same_characters_as_often_and_no_order() -> None:
    text, shuffled = Text(), Text(is_shuffled=True)
    codes, mixed = text._codes(), shuffled._codes()
    assert text.characters == shuffled.characters
    np.testing.assert_array_equal(np.bincount(codes), np.bincount(mixed))
    assert entropy_nats(mixed, 0) == pytest.approx(3.105, abs=0.001)
    assert entropy_nats(mixed, 1) > entropy_nats(mixed, 0) - 0.01


def test_the_stories_have_much_to_learn_beyond_how_frequent_characters_are() -> None:
    codes = Text()._codes()
    np.testing.assert_allclose(
        [entropy_nats(codes, after) for after in range(4)], [3.105, 2.227, 1.467, 0.897], atol=0.001
    )


def test_the_stories_are_the_same_on_every_machine() -> None:
    text = stories()
    assert 300_000 <= len(text) < 301_000
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "6238979d62cf746e2571ed6946c1ed6044d6d9fddc5e3d05b51b1aca575497fb"
    )


def test_the_stories_grammar_agrees() -> None:
    text = stories()
    assert not re.search(r"\b[Aa]n [^aeiou]", text)
    assert not re.search(r"\b[Aa] [aeiou]", text)
    assert not re.search(r"\bone [a-z]+s\b", text)
    assert not re.search(r"\b(?:[Ss]he|[Hh]e) were\b|\b[Tt]hey was\b", text)
    assert "{" not in text


def test_a_text_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    short, binary, varied = (tmp_path / name for name in ("short.txt", "binary.txt", "varied.txt"))
    short.write_text("too short")
    binary.write_bytes(b"\xff\xfe" * 9000)
    varied.write_text("".join(chr(n) for n in range(0x4E00, 0x4E00 + 8000)), encoding="utf-8")
    same = tmp_path / "same.txt"
    same.write_text("a" * 8000)
    for path, message in (
        (tmp_path / "none.txt", "does not exist; it is looked for from"),
        (short, "has 9 characters; allowed: 6,400 or more"),
        (binary, "cannot be read as UTF-8 text"),
        (varied, "has 8,000 different characters; allowed: 2 to 1,024"),
        (same, "has 1 different character; allowed: 2 to 1,024"),
        (tmp_path, "cannot be read as UTF-8 text"),
    ):
        with pytest.raises(MiscopeError, match=message) as raised:
            Text(path=str(path))
        assert "\n" not in str(raised.value)


def test_a_text_whose_end_stands_in_its_beginning_has_nothing_to_be_tested_on(tmp_path: Path) -> None:
    path = tmp_path / "round.txt"
    path.write_text("ab" * 4000)
    with pytest.raises(MiscopeError, match="repeats itself"):
        Text(path=str(path), length=8).split(0)


def test_a_text_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "changing.txt"
    path.write_text("ab" * 4000)
    assert Text(path=str(path)).characters == "ab"
    path.write_text("abc" * 4000)
    os.utime(path, ns=(1, 1))
    assert Text(path=str(path)).characters == "abc"
