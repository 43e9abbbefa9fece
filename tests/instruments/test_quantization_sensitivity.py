"""Weights that lie on their grids, and networks whose answers rounding must change by a known amount."""

from dataclasses import replace

import numpy as np
import pytest
from judging import P, assert_told_apart, judged, path

from miscope.core import Checkpoint, MiscopeError, ModelConfig
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments.losses.measure import instrument as losses
from miscope.instruments.quantization_sensitivity.measure import QuantizationSensitivity, _rounded, instrument
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace.analysis import compute

TASK = ModuloAddition(11, 0.5)
CONTEXT = TASK.context(0)
MODEL = replace(TASK.model(), d_model=16, n_heads=2, d_head=8, d_mlp=32)
PARTS = ("attn.W_K", "attn.W_O", "attn.W_Q", "attn.W_V", "mlp.W_in", "mlp.W_out")
NAMES = (*(f"blocks.0.{part}" for part in PARTS), "unembed.W_U", "all")


def measured(given: dict[str, np.ndarray], model: ModelConfig = MODEL, **settings: int) -> QuantizationSensitivity:
    chosen = {**instrument.settings, "inputs": 0, **settings}
    sensitivity = compute(Checkpoint(0, model, given), instrument, CONTEXT, chosen)
    assert isinstance(sensitivity, QuantizationSensitivity)
    return sensitivity


def untrained(model: ModelConfig = MODEL, scale: float = 3) -> dict[str, np.ndarray]:
    return {name: np.float32(scale) * w for name, w in weights(Transformer(model, 1)).items()}


def on_grid() -> dict[str, np.ndarray]:
    """Every weight is a whole multiple, up to 7, of a power of two, and every output reaches 7 in every group."""
    rng = np.random.default_rng(0)
    whole = untrained()
    for name, weight in whole.items():
        if not name.endswith(("W_E", "W_pos")):
            integers = rng.integers(-7, 8, weight.shape)
            np.moveaxis(integers, -2, 0)[::8] = 7
            whole[name] = (integers / 32).astype(np.float32)
    return whole


def test_the_network_as_it_is_answers_as_the_losses_say() -> None:
    given = untrained()
    sensitivity = measured(given)
    plain = compute(Checkpoint(0, MODEL, given), losses, CONTEXT, {})
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        assert getattr(sensitivity, f"plain_{name}") == pytest.approx(getattr(plain, name), rel=1e-5)


def test_gaussian_weights_lose_near_one_percent_at_eight_bits_and_near_nine_at_four_whatever_other_outputs_are() -> (
    None
):
    """One output of a head that is a thousand times larger than the rest must not take their digits."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(512, 128)).astype(np.float32)
    for bits, error in ((8, 0.0068), (4, 0.09)):
        rounded = _rounded("blocks.0.mlp.W_in", weight, bits)
        assert np.linalg.norm(rounded - weight) / np.linalg.norm(weight) == pytest.approx(error, rel=0.15)
    for name, shape, axis in (("blocks.0.attn.W_Q", (2, 16, 8), (1,)), ("blocks.0.attn.W_O", (2, 8, 16), (0, 1))):
        weight = rng.normal(size=shape).astype(np.float32)
        weight[..., 3] *= 1000
        error = np.sqrt(np.square(_rounded(name, weight, 8) - weight).sum(axis=axis) / np.square(weight).sum(axis=axis))
        assert error.max() < 0.02


def test_one_matrix_is_rounded_at_a_time_and_noise_is_as_large_as_the_rounding() -> None:
    """Only W_U is off its grid, so only it and all together have an error, and the same loss."""
    given = on_grid()
    whole = measured(given)
    np.testing.assert_allclose(whole.noise_train_loss[1], whole.plain_train_loss, rtol=1e-5)
    sensitivity = measured(given | {"unembed.W_U": untrained()["unembed.W_U"]})
    assert sensitivity.matrix == NAMES
    is_off = np.array([name in ("unembed.W_U", "all") for name in NAMES])
    assert (sensitivity.error[is_off] > 1e-4).all() and (sensitivity.error[~is_off, 1] < 1e-6).all()
    assert sensitivity.train_loss[-1, 1] == pytest.approx(sensitivity.train_loss[-2, 1], rel=1e-6)
    assert sensitivity.train_loss[-1, 1] != pytest.approx(sensitivity.plain_train_loss, rel=1e-4)


def test_four_bits_cost_more_than_eight_and_noise_of_the_same_size_is_of_the_same_order() -> None:
    sensitivity = measured(untrained(scale=6))
    moved = np.abs(sensitivity.train_loss[-1] - sensitivity.plain_train_loss)
    assert moved[1] > moved[0]
    assert 7 < sensitivity.error[-1, 1] / sensitivity.error[-1, 0] < 30
    assert abs(sensitivity.noise_train_loss[1] - sensitivity.plain_train_loss) < 20 * max(moved[1], 1e-3)


def test_a_sample_is_drawn_once_and_the_same_every_time() -> None:
    first, again = measured(untrained(), inputs=30), measured(untrained(), inputs=30)
    assert first.n_inputs == 30
    np.testing.assert_array_equal(first.train_loss, again.train_loss)
    with pytest.raises(MiscopeError, match="`inputs` = -1; allowed: at least 0"):
        measured(untrained(), inputs=-1)


def test_a_split_without_inputs_is_absent() -> None:
    whole = replace(CONTEXT, probe=replace(CONTEXT.probe, is_train=np.ones(121, dtype=bool)))
    sensitivity = compute(Checkpoint(0, MODEL, untrained()), instrument, whole, instrument.settings)
    assert sensitivity.test_loss is sensitivity.noise_test_loss is sensitivity.plain_test_accuracy is None
    assert sensitivity.train_loss is not None


@pytest.mark.parametrize("change", [{"d_mlp": 0, "n_layers": 2}, {"normalization": "LN", "has_biases": True}])
def test_every_shape_has_its_matrices(change: dict[str, object]) -> None:
    model: ModelConfig = replace(MODEL, **change)  # type: ignore[arg-type]
    sensitivity = measured(untrained(model), model)
    assert len(sensitivity.matrix) == (10 if not model.d_mlp else 8)
    assert sensitivity.error[-1, 0] < 0.01


def quantized(
    rounded: float = 0.1, noise: float = 0.1, accuracy: float = 0.5, error: float = 0.09
) -> QuantizationSensitivity:
    """A network whose plain loss is 0.1, with two matrices one by one and all at once rounded; W_in has the error."""
    loss, right = np.full((3, 2), rounded), np.full((3, 2), accuracy)
    of_matrix = np.array([0.09, error, 0.09])[:, None] * [0.1, 1]
    return QuantizationSensitivity(
        ("blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "all"), np.array([8, 4]), of_matrix, None, loss, None, right,
        None, 0.1, None, accuracy, None, np.full(2, noise), None, right[0], n_inputs=100,
    )  # fmt: skip


def test_rounding_that_costs_more_than_noise_ever_did_is_beyond_it() -> None:
    start, costly = quantized(), quantized(1.0, 0.12)
    for view in ("quantization_sensitivity.losses", "quantization_sensitivity.matrices"):
        assert_told_apart(view, path(start, costly), path(start, quantized(0.17, 0.12)))
        assert_told_apart(view, path(start, costly), path(quantized(0.1, 0.9), costly))  # the noise was lucky at last
    guessing = path(quantized(accuracy=1 / P))
    assert_told_apart("quantization_sensitivity.overview", path(quantized(accuracy=1.0)), guessing)


def test_a_matrix_may_come_to_fit_its_grid_better_or_worse() -> None:
    view, start, worse = "quantization_sensitivity.errors", quantized(), quantized(error=0.18)
    better = judged(view, path(start, quantized(error=0.045)))
    assert (better.statistic, better.value, better.threshold) == ("rounding of W_in at INT4", 0.045, 0.09 / 1.5)
    assert better.is_beyond and better.is_lower
    assert_told_apart(view, path(start, worse), path(start, quantized(error=0.108)))
    assert judged(view, path(start, worse, first=5)).reason.startswith("there is no checkpoint of step 0")
