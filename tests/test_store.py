"""Files: whole or absent, byte-stable, and honest about what they were made from."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float

from miscope.core import MiscopeError, ModelConfig
from miscope.families.modulo_addition import ModuloAddition
from miscope.instrument import Null, Output
from miscope.keys import Key
from miscope.workspace import files, store

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=8, n_ctx=3, d_vocab=6, d_vocab_out=5)
KEY = Key({"weights": "1", "probe": "2"}, "3", '{"level":0.5}')


@dataclass(frozen=True)
class Everything(Output):
    """One field of each kind that an Output may have."""

    values: Float[np.ndarray, "row column"]
    row: Float[np.ndarray, " row"]
    number: float
    count: int
    word: str
    words: tuple[str, ...]
    absent: int | None
    present: int | None


EVERYTHING = Everything(np.arange(6.0).reshape(2, 3), np.ones(2), 0.5, 3, "two words", ("a", "bc"), None, 7)


def test_an_output_comes_back_as_it_was_and_what_was_absent_is_absent(tmp_path: Path) -> None:
    store.save_output(tmp_path / "x.npz", EVERYTHING, KEY)
    back = store.load_output(tmp_path / "x.npz", Everything)
    np.testing.assert_array_equal(back.values, EVERYTHING.values)
    assert (back.number, back.count, back.word, back.words) == (0.5, 3, "two words", ("a", "bc"))
    assert (back.absent, back.present) == (None, 7)
    assert store.output_key(tmp_path / "x.npz") == KEY


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"values": np.ones(3)}, r"`values` is float64[3], declared Float['row column']"),
        ({"values": np.ones((2, 3), int)}, r"`values` is int64[2, 3], declared Float['row column']"),
        ({"row": np.ones(4)}, r"`row` is float64[4], declared Float['row']"),  # the axis has two entries already
        ({"number": "half"}, "`number` is str, declared float"),
        ({"count": None, "words": ["a"]}, "`count` is NoneType, declared int; `words` is list, declared tuple"),
    ],
)
def test_what_is_not_as_declared_is_refused_in_one_line_and_not_written(
    changed: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(MiscopeError) as refused:
        store.save_output(tmp_path / "x.npz", replace(EVERYTHING, **changed), KEY)
    assert str(refused.value) == f"Everything: {fault}."
    assert not list(tmp_path.iterdir())


def test_the_same_content_gives_the_same_bytes_whenever_and_in_whatever_order_it_is_written(tmp_path: Path) -> None:
    weights = {"b": np.ones((2, 2), np.float32), "a": np.zeros(3, np.float32)}
    for name, given in (("one", weights), ("other", dict(reversed(weights.items())))):
        store.save_output(tmp_path / name / "x.npz", EVERYTHING, KEY)
        store.save_checkpoint(tmp_path / name / "weights", 5, MODEL, given)
        os.utime(tmp_path / name / "x.npz", (0, 0))
    for file in ("x.npz", "weights"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    back = store.load_checkpoint(tmp_path / "one" / "weights")
    assert (back.step, back.model) == (5, MODEL)
    np.testing.assert_array_equal(back.weights["b"], weights["b"])


def test_nulls_come_back_as_they_were(tmp_path: Path) -> None:
    nulls = [
        Null("share", x, 0.1, "chance", unit="share").of("pair", step, components=(1, 2))
        for step, x in enumerate((0.5, 0.05))
    ]
    nulls += [Null.absent("there is none").of("overview")]
    store.save_nulls(tmp_path / "nulls.json", nulls, KEY)
    back = store.load_nulls(tmp_path / "nulls.json")
    assert [(str(null), null.view, null.step, dict(null.options)) for null in back] == [
        (str(null), null.view, null.step, dict(null.options)) for null in nulls
    ]
    assert store.nulls_key(tmp_path / "nulls.json") == KEY


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(tmp_path / "x", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path / "x", "new")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_the_probe_and_its_context_come_back_as_they_were(tmp_path: Path) -> None:
    context = ModuloAddition(13, 0.5).context(1)
    store.save_context(tmp_path / "probe", context)
    back = store.load_context(tmp_path / "probe")
    for name in ("tokens", "targets", "is_train"):
        np.testing.assert_array_equal(getattr(back.probe, name), getattr(context.probe, name))
    assert back.basis == context.basis
    assert (back.grid, back.grid_axes, back.position_names) == ((13, 13), ("a", "b"), ("a", "b", "="))
