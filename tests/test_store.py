"""Files: whole or absent, byte-stable, and honest about what they were made from."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miscope.store import Provenance

from miscope import keys
from miscope.core import MiscopeError, ModelConfig
from miscope.families.modulo_addition import ModuloAddition
from miscope.instrument import Output
from miscope.workspace import files, store

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=8, n_ctx=3, d_vocab=6, d_vocab_out=5)
MADE_FROM = Provenance(instrument="x", inputs="1", probe="2", code="3", settings="{}")


@dataclass(frozen=True)
class Everything(Output):
    """One field of each kind that an Output may have."""

    values: np.ndarray
    number: float
    count: int
    word: str
    words: tuple[str, ...]
    absent: int | None
    present: int | None


EVERYTHING = Everything(np.arange(6.0).reshape(2, 3), 0.5, 3, "two words", ("a", "bc"), None, 7)


def test_an_output_comes_back_as_it_was_and_what_was_absent_is_absent(tmp_path: Path) -> None:
    store.save_output(tmp_path / "x.npz", EVERYTHING, MADE_FROM)
    back = store.load_output(tmp_path / "x.npz", Everything)
    np.testing.assert_array_equal(back.values, EVERYTHING.values)
    assert (back.number, back.count, back.word, back.words) == (0.5, 3, "two words", ("a", "bc"))
    assert (back.absent, back.present) == (None, 7)
    assert store.load_provenance(tmp_path / "x.npz") == MADE_FROM


def test_the_same_output_gives_the_same_bytes_whenever_it_is_written(tmp_path: Path) -> None:
    store.save_output(tmp_path / "a.npz", EVERYTHING, MADE_FROM)
    os.utime(tmp_path / "a.npz", (0, 0))
    store.save_output(tmp_path / "b.npz", EVERYTHING, MADE_FROM)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_checkpoint_does_not_depend_on_the_order_of_its_weights(tmp_path: Path) -> None:
    weights = {"b": np.ones((2, 2), np.float32), "a": np.zeros(3, np.float32)}
    store.save_checkpoint(tmp_path / "1", 5, MODEL, weights)
    store.save_checkpoint(tmp_path / "2", 5, MODEL, dict(reversed(weights.items())))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    back = store.load_checkpoint(tmp_path / "1")
    assert (back.step, back.model) == (5, MODEL)
    np.testing.assert_array_equal(back.weights["b"], weights["b"])


def test_a_truncated_checkpoint_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    store.save_checkpoint(tmp_path / "x", 5, MODEL, {"a": np.zeros(300, np.float32)})
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-100])
    with pytest.raises(MiscopeError, match=r"cannot be read .* Delete it and run `dvc repro`\."):
        store.load_checkpoint(tmp_path / "x")


def test_a_flipped_bit_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    store.save_checkpoint(tmp_path / "x", 5, MODEL, {"a": np.zeros(300, np.float32)})
    content = bytearray((tmp_path / "x").read_bytes())
    content[-1] ^= 1
    (tmp_path / "x").write_bytes(bytes(content))
    with pytest.raises(MiscopeError, match="is damaged: its weights differ from their digest"):
        store.load_checkpoint(tmp_path / "x")


def test_a_truncated_artifact_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    store.save_output(tmp_path / "x.npz", EVERYTHING, MADE_FROM)
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:50])
    with pytest.raises(MiscopeError, match=r"cannot be read .* Delete it and run `dvc repro`\."):
        store.load_output(tmp_path / "x.npz", Everything)


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


@given(st.lists(st.binary(), max_size=4), st.lists(st.binary(), max_size=4))
def test_only_the_same_parts_have_the_same_digest(left: list[bytes], right: list[bytes]) -> None:
    assert (keys.digest(*left) == keys.digest(*right)) == (left == right)
