"""The lens against the model itself, and components that write known directions."""

from dataclasses import replace

import numpy as np
import pytest
from miscope.analyzers.losses import losses

from miscope.analyzers.logit_lens import LogitLens, analyzer, logit_lens
from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.maths.spectra import Basis
from miscope.model.inspection import activations
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

RNG = np.random.default_rng(0)
TOKENS, FOILS = RNG.integers(0, 5, (12, 3)), np.arange(12) % 5
PROBE = Probe(TOKENS, (FOILS + 1) % 5, np.arange(12) < 8, foils=FOILS)
CONTEXT = Context(probe=PROBE, answer_position=2, basis=Basis("fourier", 5))
MODEL = ModelConfig(n_layers=2, d_model=8, n_heads=2, d_head=4, d_mlp=16, n_ctx=3, d_vocab=5, d_vocab_out=5)


def random_weights(model: ModelConfig) -> dict[str, np.ndarray]:
    """Biases and norms too, so that nothing is the identity."""
    shapes = {name: w.shape for name, w in weights(Transformer(model)).items()}
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(params=["none", "LN", "RMS", "RMS with an epsilon that counts"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    kind, _, epsilon = request.param.partition(" ")
    model = replace(MODEL, normalization=kind, has_biases=kind == "LN", eps=0.5 if epsilon else 1e-5)
    bare = Checkpoint(0, model, random_weights(model))
    return replace(bare, activations=activations(bare, CONTEXT, (*analyzer.needs, "logits"), "answer"))


def test_after_the_last_layer_the_lens_reads_what_the_network_answers(checkpoint: Checkpoint) -> None:
    lens, whole = logit_lens(checkpoint, CONTEXT), losses(checkpoint, CONTEXT)
    assert lens.point == ("embedding", "after layer 0", "after layer 1")
    assert lens.train_loss is not None and lens.test_loss is not None
    assert lens.train_accuracy is not None and lens.test_accuracy is not None
    np.testing.assert_allclose(
        [lens.train_loss[-1], lens.test_loss[-1]], [whole.train_loss, whole.test_loss], rtol=1e-4
    )
    assert (lens.train_accuracy[-1], lens.test_accuracy[-1]) == (whole.train_accuracy, whole.test_accuracy)


@pytest.mark.parametrize("has_foils", [True, False])
def test_the_parts_add_up_to_the_lead(checkpoint: Checkpoint, has_foils: bool) -> None:
    lens = logit_lens(checkpoint, CONTEXT if has_foils else replace(CONTEXT, probe=replace(PROBE, foils=None)))
    logits = checkpoint.activations["logits"].astype(np.float64)
    each = np.arange(len(logits))
    other = logits[each, FOILS] if has_foils else logits.mean(axis=1)
    assert lens.attribution.sum() == pytest.approx((logits[each, PROBE.targets] - other).mean(), rel=1e-4, abs=1e-4)
    assert lens.against == ("the foil" if has_foils else "the mean logit")


def by_hand(attention: np.ndarray) -> LogitLens:
    """One layer without MLP; three directions, one for each answer; all targets 1, the foil 0."""
    model = replace(MODEL, n_layers=1, d_mlp=0, d_model=3, d_vocab_out=3)
    seen = {
        "blocks.0.hook_resid_pre": np.tile(np.float32([1, 0, 0]), (4, 1)),
        "blocks.0.hook_attn_out": np.broadcast_to(attention.astype(np.float32), (4, 3)),
    }
    seen["blocks.0.hook_resid_post"] = seen["blocks.0.hook_resid_pre"] + seen["blocks.0.hook_attn_out"]
    probe = Probe(np.zeros((4, 3), int), np.ones(4, int), np.ones(4, bool), foils=np.zeros(4, int))
    unembed = {"unembed.W_U": np.eye(3, dtype=np.float32)}
    return logit_lens(Checkpoint(0, model, unembed, seen), replace(CONTEXT, probe=probe))


def test_each_component_is_credited_with_what_it_writes() -> None:
    lens = by_hand(np.array([0, 3, 5]))
    assert lens.component == ("embedding", "layer 0 attention")
    np.testing.assert_allclose(lens.attribution, [-1, 3])
    np.testing.assert_allclose(lens.spread, 0)


def test_the_spread_of_a_component_is_over_the_inputs() -> None:
    lens = by_hand(np.array([[0, 3, 5], [0, 1, 0], [1, 0, 0], [0, 1, 5]]))
    np.testing.assert_allclose(lens.attribution, [-1, (3 + 1 - 1 + 1) / 4])
    np.testing.assert_allclose(lens.spread, [0, np.std([3, 1, -1, 1])])


def test_the_answer_is_there_after_the_layer_that_writes_it() -> None:
    lens = by_hand(np.array([0, 3, 0]))
    assert lens.train_accuracy is not None and lens.test_accuracy is None
    assert lens.train_accuracy.tolist() == [0, 1]
