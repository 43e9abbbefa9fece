"""Weights that lie on their grids, and networks whose answers rounding must change by a known amount."""

from dataclasses import replace

import numpy as np
import pytest
from judging import P, judged, over

from miscope.core import Checkpoint, MiscopeError, ModelConfig
from miscope.families.modulo_addition import ModuloAddition
from miscope.instrument import Artifact
from miscope.instruments.losses.measure import instrument as losses
from miscope.instruments.quantization_sensitivity.measure import QuantizationSensitivity, _rounded, instrument
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace.analysis import compute

TASK = ModuloAddition(11, 0.5)
CONTEXT = TASK.context(0)
MODEL = replace(TASK.model(), d_model=16, n_heads=2, d_head=8, d_mlp=32)
NAMES = ("blocks.0.attn.W_K", "blocks.0.attn.W_O", "blocks.0.attn.W_Q", "blocks.0.attn.W_V")
NAMES = (*NAMES, "blocks.0.mlp.W_in", "blocks.0.mlp.W_out", "unembed.W_U", "all")


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


def test_a_negative_sample_is_refused() -> None:
    with pytest.raises(MiscopeError, match="`inputs` = -1; allowed: at least 0"):
        measured(untrained(), inputs=-1)


# ---------------------------------------------------------------- its nulls


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


def training(*outputs: QuantizationSensitivity, first: int = 0) -> Artifact[QuantizationSensitivity]:
    return over({first + 100 * i: output for i, output in enumerate(outputs)})


@pytest.mark.parametrize("view", ["losses", "matrices"])
def test_rounding_that_costs_more_than_noise_ever_did_is_beyond_it(view: str) -> None:
    name, start = f"quantization_sensitivity.{view}", quantized()
    assert judged(name, training(start, quantized(1.0, 0.12))).is_beyond
    assert judged(name, training(start, quantized(0.17, 0.12))).verdict == "Within its null"
    lucky_at_last = training(quantized(0.1, 0.9), quantized(1.0, 0.12))
    assert judged(name, lucky_at_last).verdict == "Within its null"


def test_a_rounded_network_that_guesses_is_not_quantizable() -> None:
    view = "quantization_sensitivity.overview"
    assert judged(view, training(quantized(accuracy=1.0))).is_beyond
    assert judged(view, training(quantized(accuracy=1 / P))).verdict == "Within its null"


def test_a_matrix_may_come_to_fit_its_grid_better_or_worse() -> None:
    view, start, worse = "quantization_sensitivity.errors", quantized(), quantized(error=0.18)
    better = judged(view, training(start, quantized(error=0.045)))
    assert (better.statistic, better.value, better.threshold) == ("rounding of W_in at INT4", 0.045, 0.09 / 1.5)
    assert better.is_beyond and better.is_lower
    assert judged(view, training(start, worse)).is_beyond
    assert judged(view, training(start, quantized(error=0.108))).verdict == "Within its null"
    assert judged(view, training(start, worse, first=5)).reason.startswith("there is no checkpoint of step 0")
