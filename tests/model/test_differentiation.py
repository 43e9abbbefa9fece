"""Losses elsewhere, gradients and products with the Hessian, against torch's own and against differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from miscope import catalog
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, Probe
from miscope.maths.spectra import Basis
from miscope.maths.statistics import answers
from miscope.model.differentiation import DifferentiableNetwork, network
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights, weights

SMALL = ModelConfig(n_layers=1, d_model=8, n_heads=2, d_head=4, d_mlp=12, n_ctx=4, d_vocab=6, d_vocab_out=5)
SHAPES = {
    "one layer": SMALL,
    "attention only": replace(SMALL, n_layers=2, d_mlp=0),
    "norms and biases": replace(SMALL, n_layers=2, normalization="LN", has_biases=True, act_fn="gelu", is_causal=False),
    "rms": replace(SMALL, normalization="RMS"),
}
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 6, (40, 4))
PROBE = Probe(TOKENS, TOKENS.sum(axis=1) % 5, np.arange(40) % 4 > 0)
FOLLOWING = np.where(RNG.random((40, 4)) < 0.6, TOKENS % 5, -1)
CONTEXT = Context(probe=PROBE, answer_position=3, basis=Basis("fourier", 6))
SEQUENCES = replace(CONTEXT, probe=replace(PROBE, following=FOLLOWING))


def checkpoint(shape: ModelConfig) -> Checkpoint:
    """Random weights, biases and norms among them."""
    rng, drawn = np.random.default_rng(1), weights(Transformer(shape))
    return Checkpoint(0, shape, {n: (w + rng.normal(size=w.shape) / 3).astype("f4") for n, w in drawn.items()})


@pytest.fixture(params=SHAPES, scope="module")
def shape(request: pytest.FixtureRequest) -> ModelConfig:
    return SHAPES[request.param]


@pytest.fixture(params=["one answer", "an answer at some positions"], scope="module")
def context(request: pytest.FixtureRequest) -> Context:
    return CONTEXT if request.param == "one answer" else SEQUENCES


@pytest.fixture(scope="module")
def net(shape: ModelConfig, context: Context) -> DifferentiableNetwork:
    return network(checkpoint(shape), context)


def by_torch(net: DifferentiableNetwork, inputs: np.ndarray) -> tuple[torch.Tensor, Transformer]:
    """The mean cross-entropy by torch's own function, at every position that the probe asks at."""
    model = load_weights(Transformer(net.model.config), net.named(net.weights))
    logits = model(torch.from_numpy(TOKENS[inputs]))
    right = torch.full((len(inputs), 4), -1)
    right[:, 3] = torch.from_numpy(PROBE.targets[inputs])
    if net.context.probe.following is not None:
        right = torch.from_numpy(FOLLOWING[inputs])
    return F.cross_entropy(logits.double().flatten(0, 1), right.flatten(), ignore_index=-1), model


def test_loss_and_gradient_are_those_of_torch(net: DifferentiableNetwork) -> None:
    inputs = net.train_inputs()
    loss, model = by_torch(net, inputs)
    losses, gradients = net.gradients(net.weights[None], inputs)
    np.testing.assert_allclose(losses, [float(loss.detach())], rtol=1e-6)
    np.testing.assert_allclose(net.losses(net.weights[None], inputs), losses, rtol=1e-6)
    loss.backward()
    own = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).numpy()
    np.testing.assert_allclose(gradients[0], own, atol=1e-6)


def test_a_step_along_a_direction_changes_the_loss_as_the_gradient_says(net: DifferentiableNetwork) -> None:
    inputs, step = net.train_inputs(), 1e-2
    direction = np.random.default_rng(2).normal(size=net.weights.shape) / np.sqrt(net.weights.size)
    up, down = net.losses(np.float32([net.weights + step * direction, net.weights - step * direction]), inputs)
    slope = net.gradients(net.weights[None], inputs)[1][0] @ direction
    assert (up - down) / (2 * step) == pytest.approx(slope, abs=2e-3 * max(1, abs(slope)))


def test_products_with_the_hessian_are_differences_of_gradients(net: DifferentiableNetwork) -> None:
    inputs, step = net.train_inputs(), 1e-3
    v = np.random.default_rng(3).normal(size=(2, net.weights.size))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    ends = np.float32([w for one in v for w in (net.weights + step * one, net.weights - step * one)])
    gradients = net.gradients(ends, inputs)[1].astype(np.float64)
    differences = (gradients[0::2] - gradients[1::2]) / (2 * step)
    products = net.hessian(inputs)(v)
    if net.model.config.act_fn == "relu":  # a difference may cross a kink
        assert np.median(np.abs(products - differences)) < 1e-3
    else:
        np.testing.assert_allclose(products, differences, atol=3e-3)
    assert products[0] @ v[1] == pytest.approx(products[1] @ v[0], abs=1e-5)


def test_weights_by_name_and_vectors_are_two_ways_to_write_the_same(net: DifferentiableNetwork) -> None:
    named = net.named(net.weights)
    assert named.keys() == checkpoint(net.model.config).weights.keys()
    for name, weight in checkpoint(net.model.config).weights.items():
        np.testing.assert_array_equal(named[name], weight)
    np.testing.assert_array_equal(net.vector(named), net.weights)


def test_logits_are_those_at_the_answer_position(net: DifferentiableNetwork) -> None:
    model = load_weights(Transformer(net.model.config), net.named(net.weights))
    with torch.no_grad():
        own = model(torch.from_numpy(TOKENS))[:, 3].numpy()
    np.testing.assert_allclose(net.logits(net.weights, np.arange(40)), own, atol=1e-5)


def test_embedding_gradients_are_differences_of_a_logit(net: DifferentiableNetwork) -> None:
    """Of one token of one input: its embedding is moved where that token stands nowhere else."""
    lone = next(i for i in range(40) if (TOKENS[i] == TOKENS[i, 1]).sum() == 1)
    named, step = net.named(net.weights), 1e-2
    direction = np.random.default_rng(4).normal(size=8) / 3
    ends = []
    for sign in (1, -1):
        moved = {name: weight.copy() for name, weight in named.items()}
        moved["embed.W_E"][TOKENS[lone, 1]] += (sign * step * direction).astype("f4")
        ends.append(net.logits(net.vector(moved), np.array([lone]))[0, 2])
    gradient = net.embedding_gradients(np.array([lone, 0]), np.array([2, 1]))
    assert gradient.shape == (2, 4, 8)
    assert gradient[0, 1] @ direction == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-2)


def test_a_causal_network_does_not_look_past_the_answer() -> None:
    early = replace(CONTEXT, answer_position=1)
    gradient = network(checkpoint(SMALL), early).embedding_gradients(np.arange(5), np.zeros(5, dtype=int))
    assert np.abs(gradient[:, :2]).max() > 0 and not gradient[:, 2:].any()


def test_inputs_may_be_asked_for_the_answers_of_others() -> None:
    net, inputs = network(checkpoint(SMALL), CONTEXT), np.arange(10)
    others = inputs[::-1].copy()
    loss, _ = net.gradients(net.weights[None], inputs, others)
    logits = net.logits(net.weights, inputs)
    assert loss[0] == pytest.approx(answers(logits, PROBE.targets[others]).loss.mean(), rel=1e-6)


def test_repeated_rows_are_computed_once_to_the_same_loss_and_gradient() -> None:
    """A probe of few distinct rows goes another way through the model."""
    tokens = np.stack(np.meshgrid(range(6), range(6), [5], indexing="ij"), axis=-1).reshape(-1, 3)
    probe = Probe(tokens, tokens.sum(axis=1) % 5, np.ones(36, dtype=bool))
    net = network(checkpoint(SMALL), replace(CONTEXT, probe=probe, answer_position=2))
    whole, parts = np.arange(36), np.arange(36).reshape(36, 1)
    assert net._asked(whole).plan is not None and net._asked(parts[0]).plan is None
    loss, gradient = net.gradients(net.weights[None], whole)
    each = [net.gradients(net.weights[None], part) for part in parts]
    assert loss[0] == pytest.approx(np.mean([one[0] for one in each]), rel=1e-6)
    np.testing.assert_allclose(gradient, np.mean([one[1] for one in each], axis=0), atol=1e-6)


def test_a_loss_far_below_float32_and_its_gradient_keep_their_digits() -> None:
    net = network(checkpoint(SMALL), CONTEXT)
    inputs = np.flatnonzero(net.logits(net.weights, np.arange(40)).argmax(axis=1) == PROBE.targets)[:3]
    named = net.named(net.weights)
    sure = net.vector(named | {"unembed.W_U": named["unembed.W_U"] * 100})
    logits = net.logits(sure, inputs)
    loss, gradient = net.gradients(sure[None], inputs)
    assert 0 < loss[0] < 1e-8
    assert loss[0] == pytest.approx(answers(logits, PROBE.targets[inputs]).loss.mean(), rel=1e-5)
    assert np.abs(gradient).max() > 0


def test_few_train_inputs_are_drawn_by_seed_to_ask_for_about_so_many_answers() -> None:
    one, many = network(checkpoint(SMALL), CONTEXT), network(checkpoint(SMALL), SEQUENCES)
    np.testing.assert_array_equal(one.train_inputs(), np.flatnonzero(PROBE.is_train))
    assert len(one.train_inputs(12)) == 12
    np.testing.assert_array_equal(one.train_inputs(12), one.train_inputs(12))
    assert (one.train_inputs(12, seed=1) != one.train_inputs(12)).any()
    drawn = many.train_inputs(24)
    assert abs((FOLLOWING[drawn] >= 0).sum() - 24) < 8
    assert PROBE.is_train[drawn].all() and (np.diff(drawn) > 0).all()
    untrained = replace(CONTEXT, probe=replace(PROBE, is_train=np.zeros(40, dtype=bool)))
    assert len(network(checkpoint(SMALL), untrained).train_inputs()) == 40


def test_an_instrument_that_did_not_ask_for_gradients_is_told_how_to() -> None:
    with pytest.raises(MiscopeError, match=r'^This checkpoint has no network .* needs=\("gradients",\) asks for one'):
        checkpoint(SMALL).network  # noqa: B018


@pytest.mark.parametrize("family", catalog.families())
def test_every_family_can_be_differentiated(family: str) -> None:
    task = catalog.family(family)()
    net = network(Checkpoint(0, task.model(), weights(Transformer(task.model()))), task.context(0))
    inputs = net.train_inputs(64)
    loss, gradient = net.gradients(net.weights[None], inputs)
    product = net.hessian(inputs[:4])(gradient)
    assert 0.1 < loss[0] < 20
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert np.isfinite(product).all() and np.abs(product).max() > 0
