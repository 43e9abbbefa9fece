"""A published pizza, and networks whose gradients and logits are known."""

from dataclasses import replace

import judging
import numpy as np
import pytest
from safetensors.numpy import load_file
from workspace import SHARED

from miscope.calibration.models import through_the_model
from miscope.catalog import builtin
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments.circuit_style.measure import CircuitStyle, _by_distance, _irrelevance, instrument
from miscope.model.differentiation import network
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

P = 11
TASK = ModuloAddition(P, 0.5)
MODEL = replace(TASK.model(), d_model=16, n_heads=2, d_head=8, d_mlp=32)


def measured(named: dict[str, np.ndarray], context: Context | None = None, model: ModelConfig = MODEL) -> CircuitStyle:
    return through_the_model(instrument, Checkpoint(0, model, named), context or TASK.context(0))


def untrained() -> dict[str, np.ndarray]:
    return weights(Transformer(MODEL, 1))


def without(*names: str) -> dict[str, np.ndarray]:
    """The untrained network with zeros in place of some weights."""
    return {name: np.zeros_like(value) if name in names else value for name, value in untrained().items()}


def test_a_network_that_treats_both_summands_alike_has_symmetry_one() -> None:
    """No positions, and the same attention to all: only the sum of the two embeddings gets through."""
    style = measured(without("pos_embed.W_pos", "blocks.0.attn.W_Q"))
    assert style.gradient_symmetry == pytest.approx(1, abs=1e-6)
    assert style.symmetry_std < 1e-6 and style.mismatched_symmetry < 0.9


def test_an_untrained_network_is_symmetric_and_yet_no_pizza() -> None:
    """Its attention is nearly even: symmetry alone would call it one."""
    style = measured(untrained())
    assert style.gradient_symmetry > 0.98 and style.distance_irrelevance > 0.6


def test_a_network_that_looks_at_one_summand_alone_is_not_symmetric() -> None:
    """Scores fall with the position, by far: attention goes to a, or to b."""
    one = without("pos_embed.W_pos", "blocks.0.attn.W_Q", "blocks.0.attn.W_K")
    one["pos_embed.W_pos"][[0, 2], 0] = 60, 1
    one["blocks.0.attn.W_Q"][:, 0, 0] = one["blocks.0.attn.W_K"][:, 0, 0] = 1
    assert measured(one).gradient_symmetry < 0.6


def on_sums(right: np.ndarray) -> CircuitStyle:
    """A network with these right logits on the grid (a, b)."""
    context = TASK.context(0)
    logits = np.zeros((P * P, P), dtype=np.float32)
    logits[np.arange(P * P), context.probe.targets] = right.ravel()
    bare = Checkpoint(0, MODEL, untrained())
    seen = replace(bare, activations={"logits": logits}, differentiable=network(bare, context))
    return instrument.compute(seen, context)


def test_a_right_logit_told_by_the_distance_alone_has_irrelevance_zero_and_one_by_the_sum_one() -> None:
    a, b = np.mgrid[:P, :P]
    pizza = on_sums(np.abs(np.cos(np.pi * 3 * (a - b) / P)))
    assert pizza.distance_irrelevance == pytest.approx(0, abs=1e-6)
    assert pizza.shuffled_irrelevance > 0.8
    np.testing.assert_allclose(pizza.logit_mean, np.abs(np.cos(np.pi * 3 * np.arange(P) / P)), atol=1e-6)
    np.testing.assert_allclose(pizza.logit_std, 0, atol=1e-6)
    assert on_sums(np.cos(2 * np.pi * (a + b) / P)).distance_irrelevance == pytest.approx(1, abs=1e-6)


def test_noise_has_nearly_the_irrelevance_of_its_shuffles() -> None:
    noise = np.random.default_rng(0).normal(size=(59, 59))
    assert _irrelevance(_by_distance(noise)) == pytest.approx(1, abs=0.03)


def test_other_tasks_have_no_style_of_adding_and_a_single_triple_tells_none() -> None:
    for task in (ModuloAddition(P, 0.5, "a * b"), ModuloAddition(P, 0.5, "a - b")):
        with pytest.raises(NotApplicable, match=r"^Clock and pizza are ways to add, and the answer here is not told"):
            measured(untrained(), task.context(0))
    with pytest.raises(NotApplicable, match="the probe is no grid of two"):
        measured(untrained(), replace(TASK.context(0), grid=None))
    with pytest.raises(MiscopeError, match="`n_triples` = 1; allowed: at least 2"):
        instrument.compute(Checkpoint(0, MODEL, {}), TASK.context(0), n_triples=1)


def style(symmetry: float, irrelevance: float) -> CircuitStyle:
    return CircuitStyle(
        gradient_symmetry=symmetry, symmetry_std=0.1, mismatched_symmetry=0.0, distance_irrelevance=irrelevance,
        shuffled_irrelevance=0.95, distance=np.arange(P), logit_mean=np.zeros(P), logit_std=np.ones(P),
    )  # fmt: skip


UNTRAINED = style(0.99, 0.99)


@pytest.mark.parametrize("view", ["circuit_style.overview", "circuit_style.distances", "circuit_style.plane"])
def test_symmetry_alone_says_nothing_of_how_a_network_adds(view: str) -> None:
    pizza, memorised = style(0.99, 0.2), style(0.3, 0.93)
    for within in (UNTRAINED, memorised):
        judging.assert_told_apart(view, judging.path(UNTRAINED, pizza), judging.path(UNTRAINED, within))


@pytest.mark.parametrize(("first", "curves"), [(0, 3), (5, 2)])
def test_a_variant_without_step_0_has_no_curve_of_the_untrained_network(first: int, curves: int) -> None:
    table = builtin().view("circuit_style.overview").tabulate(judging.path(UNTRAINED, first=first), judging.CONTEXT)
    assert table.data["curve"].nunique() == curves


PIZZA = SHARED / "data" / "published" / "pizza_model_a_c59.safetensors"


@pytest.mark.skipif(not PIZZA.is_file(), reason="the published weights are reference data that is not part of this")
def test_the_published_pizza_has_its_published_style() -> None:
    """Model A of the source: symmetry 99.37 %, irrelevance 0.17. Its heads add up what both tokens say, unweighed."""
    w = load_file(PIZZA)
    model = ModelConfig(
        n_layers=1, d_model=128, n_heads=4, d_head=32, d_mlp=512, n_ctx=2, d_vocab=59, d_vocab_out=59, has_biases=True
    )
    zeros = {name: np.zeros_like(value) for name, value in weights(Transformer(model)).items()}
    alike = ("pos_embed.W_pos", "blocks.0.mlp.b_in", "blocks.0.mlp.b_out", "unembed.W_U")
    turned = ("embed.W_E", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out")
    given = zeros | {name: w[name] for name in alike} | {name: w[name].T for name in turned}
    given["blocks.0.attn.W_V"] = 2 * w["blocks.0.attn.W_V"].swapaxes(1, 2)  # even attention to two is half to each
    given["blocks.0.attn.W_O"] = w["blocks.0.attn.W_O"].T.reshape(4, 32, 128)
    task = ModuloAddition(59, 0.8).context(0)
    pairs = replace(task, probe=replace(task.probe, tokens=task.probe.tokens[:, :2]), answer_position=1)
    contiguous = {name: np.ascontiguousarray(value) for name, value in given.items()}
    pizza = measured(contiguous, pairs, model)
    assert pizza.distance_irrelevance == pytest.approx(0.1717365, rel=1e-4)
    assert pizza.gradient_symmetry == pytest.approx(0.9937, abs=1e-3)
    assert pizza.mismatched_symmetry < 0.2
