"""Weights that lie on their grids, and networks whose answers rounding must change by a known amount."""

from dataclasses import replace

import numpy as np
import pytest
from miscope.analyzers.losses import analyzer as losses

from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity, _rounded, analyzer
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace import analysis

TASK = ModuloAddition(11, 0.5)
MODEL = replace(TASK.model(), d_model=16, n_heads=2, d_head=8, d_mlp=32)
NAMES = ("blocks.0.attn.W_K", "blocks.0.attn.W_O", "blocks.0.attn.W_Q", "blocks.0.attn.W_V")
NAMES = (*NAMES, "blocks.0.mlp.W_in", "blocks.0.mlp.W_out", "unembed.W_U", "all")


def measured(weights_: dict[str, np.ndarray], model: ModelConfig = MODEL, **settings: int) -> QuantizationSensitivity:
    found = analysis.compute(
        Checkpoint(0, model, weights_), analyzer, TASK.context(0), dict(analyzer.settings) | {"inputs": 0} | settings
    )
    assert isinstance(found, QuantizationSensitivity)
    return found


def untrained(model: ModelConfig = MODEL, scale: float = 3) -> dict[str, np.ndarray]:
    return {name: np.float32(scale) * w for name, w in weights(Transformer(model, 1)).items()}


def on_grid() -> dict[str, np.ndarray]:
    """Every weight is a whole multiple, up to 7, of a power of two, and every output reaches 7 in every group."""
    rng = np.random.default_rng(0)
    whole = untrained()
    for name, weight in whole.items():
        if not name.endswith(("W_E", "W_pos")):
            integers = rng.integers(-7, 8, weight.shape)
            axis = -2
            np.moveaxis(integers, axis, 0)[::8] = 7
            whole[name] = (integers / 32).astype(np.float32)
    return whole


def test_weights_on_the_grid_of_four_bits_lose_nothing_at_four_bits() -> None:
    found = measured(on_grid())
    assert found.matrix == NAMES
    np.testing.assert_allclose(found.error[:, 1], 0, atol=1e-6)
    assert found.train_loss is not None and found.noise_train_loss is not None
    np.testing.assert_allclose(found.train_loss[:, 1], found.plain_train_loss, rtol=1e-5)
    np.testing.assert_allclose(found.noise_train_loss[1], found.plain_train_loss, rtol=1e-5)


def test_the_network_as_it_is_answers_as_the_losses_say() -> None:
    given = untrained()
    found = measured(given)
    plain = analysis.compute(Checkpoint(0, MODEL, given), losses, TASK.context(0), {})
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        assert getattr(found, f"plain_{name}") == pytest.approx(getattr(plain, name), rel=1e-5)


def test_gaussian_weights_lose_near_one_percent_at_eight_bits_and_near_nine_at_four() -> None:
    weight = np.random.default_rng(0).normal(size=(512, 128)).astype(np.float32)
    for bits, error in ((8, 0.0068), (4, 0.09)):
        rounded = _rounded("blocks.0.mlp.W_in", weight, bits)
        assert np.linalg.norm(rounded - weight) / np.linalg.norm(weight) == pytest.approx(error, rel=0.15)


def test_each_output_of_each_head_has_its_own_scale() -> None:
    """One output a thousand times larger than the rest must not take their digits."""
    rng = np.random.default_rng(0)
    for name, shape, axis in (("blocks.0.attn.W_Q", (2, 16, 8), (1,)), ("blocks.0.attn.W_O", (2, 8, 16), (0, 1))):
        weight = rng.normal(size=shape).astype(np.float32)
        weight[..., 3] *= 1000
        error = np.sqrt(np.square(_rounded(name, weight, 8) - weight).sum(axis=axis) / np.square(weight).sum(axis=axis))
        assert error.max() < 0.02


def test_one_matrix_is_rounded_at_a_time() -> None:
    """Only W_U is off its grid, so only it and all together have an error, and the same loss."""
    given = on_grid()
    given["unembed.W_U"] = untrained()["unembed.W_U"]
    found = measured(given)
    assert found.train_loss is not None
    is_off = np.array([name in ("unembed.W_U", "all") for name in NAMES])
    assert (found.error[is_off] > 1e-4).all() and (found.error[~is_off, 1] < 1e-6).all()
    assert found.train_loss[-1, 1] == pytest.approx(found.train_loss[-2, 1], rel=1e-6)
    assert found.train_loss[-1, 1] != pytest.approx(found.plain_train_loss, rel=1e-4)


def test_four_bits_cost_more_than_eight_and_noise_of_the_same_size_is_of_the_same_order() -> None:
    found = measured(untrained(scale=6))
    assert found.train_loss is not None and found.noise_train_loss is not None and found.plain_train_loss is not None
    moved = np.abs(found.train_loss[-1] - found.plain_train_loss)
    assert moved[1] > moved[0]
    assert 7 < found.error[-1, 1] / found.error[-1, 0] < 30
    assert abs(found.noise_train_loss[1] - found.plain_train_loss) < 20 * max(moved[1], 1e-3)


def test_a_sample_is_drawn_once_and_the_same_every_time() -> None:
    first, again = measured(untrained(), inputs=30), measured(untrained(), inputs=30)
    assert first.n_inputs == 30
    np.testing.assert_array_equal(first.train_loss, again.train_loss)


def test_a_split_without_inputs_is_absent() -> None:
    context: Context = TASK.context(0)
    whole = replace(context, probe=replace(context.probe, is_train=np.ones(121, dtype=bool)))
    found = analysis.compute(Checkpoint(0, MODEL, untrained()), analyzer, whole, analyzer.settings)
    assert isinstance(found, QuantizationSensitivity)
    assert found.test_loss is found.noise_test_loss is found.plain_test_accuracy is None
    assert found.train_loss is not None


@pytest.mark.parametrize("change", [{"d_mlp": 0, "n_layers": 2}, {"normalization": "LN", "has_biases": True}])
def test_every_shape_has_its_matrices(change: dict[str, object]) -> None:
    model: ModelConfig = replace(MODEL, **change)  # type: ignore[arg-type]
    found = measured(untrained(model), model)
    assert len(found.matrix) == (10 if not model.d_mlp else 8)
    assert found.error[-1, 0] < 0.01


def test_a_negative_sample_is_refused() -> None:
    with pytest.raises(MiscopeError, match="`inputs` = -1; allowed: at least 0"):
        measured(untrained(), inputs=-1)
