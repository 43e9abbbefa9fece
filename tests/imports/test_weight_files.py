"""Weights written in each layout, and read back as what they were."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from miscope.calibration.models import Addition, Induction, through_the_model
from miscope.core import Checkpoint, MiscopeError, ModelConfig
from miscope.imports import Weights, read
from miscope.instruments.losses.measure import instrument as losses

ADDITION = Addition(p=13, frequencies=(2, 3), gains=(2.0, 1.0), n_phases=7)
BUILT = Induction()
TASK, MADE = ADDITION.family.model(), ADDITION.checkpoint()


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Weights]:
    """What is read of a file with these weights, as a model for a task."""

    def reading(weights: Mapping[str, np.ndarray], task: ModelConfig = TASK, rate: float = 1.0) -> Weights:
        path = tmp_path / "weights.safetensors"
        save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, path)
        return read(path, task, rate)

    return reading


def older(checkpoint: Checkpoint, prefix: str = "blocks") -> dict[str, np.ndarray]:
    """All heads of W_O in one, every other matrix but W_pos and W_U the other way round."""
    turned = {}
    for name, value in checkpoint.weights.items():
        leaf = name.rpartition(".")[2]
        if leaf == "W_O":
            value = value.reshape(-1, value.shape[2]).T
        elif leaf not in ("W_pos", "W_U"):
            value = value.swapaxes(-1, -2)
        turned[name.replace("blocks", prefix, 1)] = value
    return turned


def assert_same(weights: dict[str, np.ndarray], expected: Checkpoint) -> None:
    assert weights.keys() == expected.weights.keys()
    for name, value in expected.weights.items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


def test_names_and_shapes_of_transformerlens_are_read_as_they_stand(stored: Callable) -> None:
    buffers = {"blocks.0.attn.mask": np.ones((3, 3), dtype=bool), "blocks.0.attn.IGNORE": np.zeros(1)}
    file = stored(dict(MADE.weights) | buffers)
    assert_same(file.weights, MADE)
    assert (file.model, file.notes) == (ADDITION.model, ())


def test_names_without_a_module_are_those_of_one_layer(stored: Callable) -> None:
    short = {name.rpartition(".")[2]: value for name, value in MADE.weights.items()}
    assert_same(stored(short).weights, MADE)


@pytest.mark.parametrize("prefix", ["blocks", "attn_blocks"])
def test_the_older_layout_is_turned_and_said_to_be(stored: Callable, prefix: str) -> None:
    made = BUILT.checkpoint()
    file = stored(older(made, prefix), BUILT.family.model())
    assert_same(file.weights, made)
    assert "embed.W_E was transposed." in file.notes
    assert "W_O of every layer was cut into heads." in file.notes
    checkpoint = Checkpoint(0, file.model, file.weights)
    assert through_the_model(losses, checkpoint, BUILT.family.context(0)).all_accuracy == 1


def test_biases_of_the_mlp_alone_leave_the_others_zero(stored: Callable) -> None:
    model = ADDITION.model
    biases = {"blocks.0.mlp.b_in": np.ones(model.d_mlp, dtype=np.float32), "blocks.0.mlp.b_out": np.ones(model.d_model)}
    file = stored(dict(MADE.weights) | biases)
    assert file.model == replace(model, has_biases=True)
    assert (file.weights["blocks.0.mlp.b_in"] == 1).all()
    assert not file.weights["blocks.0.attn.b_Q"].any()
    assert "Biases that the file does not have are zero." in file.notes


def test_outputs_that_the_task_does_not_have_are_left_out_and_said_to_be(stored: Callable) -> None:
    wide = np.concatenate([MADE.weights["unembed.W_U"], np.ones((ADDITION.model.d_model, 1), dtype=np.float32)], axis=1)
    file = stored(dict(MADE.weights) | {"unembed.W_U": wide})
    assert_same(file.weights, MADE)
    assert file.notes == ("Of 14 outputs the task has the first 13; the others were left out.",)


def test_at_an_attention_rate_of_0_heads_sum_over_positions(stored: Callable) -> None:
    task = replace(TASK, is_causal=False)
    loud = dict(MADE.weights) | {"blocks.0.attn.W_Q": MADE.weights["blocks.0.attn.W_Q"] + 7}
    file = stored(loud, task, 0.0)
    assert not file.weights["blocks.0.attn.W_Q"].any()
    np.testing.assert_array_equal(file.weights["blocks.0.attn.W_O"], 3 * MADE.weights["blocks.0.attn.W_O"])
    with pytest.raises(MiscopeError, match="without a causal mask"):
        stored(loud, rate=0.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unembed.W_U": None}, r"lacks unembed\.W_U\."),
        ({"blocks.0.attn.W_K": None}, r"lacks blocks\.0\.attn\.W_K\."),
        ({"blocks.0.mlp.W_out": None}, r"lacks blocks\.0\.mlp\.W_out\."),
        ({"lm_head.weight": np.ones(3)}, r"names that no layout known here has: lm_head\.weight\."),
        ({"embed.W_E": np.ones((17, 12))}, "does not fit the task, which has 14 tokens"),
        ({"pos_embed.W_pos": np.ones((4, 12))}, r"pos_embed\.W_pos of shape \(4, 12\), not \(3, 12\)"),
        ({"unembed.W_U": np.ones((12, 5))}, "has 5 outputs; the task has 13"),
        ({"blocks.0.attn.W_V": np.ones((2, 12, 3))}, r"blocks\.0\.attn\.W_V of shape \(2, 12, 3\), not \(2, 12, 2\)"),
        ({"blocks.0.mlp.b_in": np.ones(3)}, r"b_in of shape \(3,\), not \(14,\)"),
        ({"ln_final.w": np.ones(12)}, r"ln_final\.w, which a model of its other weights does not have"),
    ],
)
def test_what_is_missing_unexpected_or_of_another_shape_is_refused_by_name(
    stored: Callable, change: dict[str, np.ndarray | None], sentence: str
) -> None:
    changed = dict(MADE.weights) | change
    with pytest.raises(MiscopeError, match=sentence):
        stored({name: value for name, value in changed.items() if value is not None})


def test_a_square_matrix_does_not_tell_which_way_it_lies(stored: Callable) -> None:
    square = Addition(p=11, frequencies=(2, 3), gains=(1.0, 1.0), n_phases=7)  # 12 tokens and 12 dimensions
    made, task = square.checkpoint(), square.family.model()
    with pytest.raises(MiscopeError, match=r"a square embed\.W_E"):
        stored(older(made), task)
    assert_same(stored(made.weights, task).weights, made)  # where heads lie apart, all do as ours


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(MiscopeError, match="cannot be read as safetensors"):
        read(path, TASK)
