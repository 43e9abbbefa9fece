"""The lens against the model itself, and components that write known directions."""

from dataclasses import replace

import numpy as np
import pytest
from judging import CONTEXT as ADDITION
from judging import assert_told_apart, path

from miscope.calibration.models import shape
from miscope.core import Checkpoint, Context, Probe
from miscope.instruments._shared.guessing import z_score
from miscope.instruments.logit_lens.measure import LogitLens, instrument, logit_lens
from miscope.instruments.losses.measure import losses
from miscope.maths.spectra import Basis
from miscope.model.inspection import activations
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

RNG = np.random.default_rng(0)
TOKENS, DISTRACTORS = RNG.integers(0, 5, (12, 3)), np.arange(12) % 5
PROBE = Probe(TOKENS, (DISTRACTORS + 1) % 5, np.arange(12) < 8, distractors=DISTRACTORS)
CONTEXT = Context(probe=PROBE, answer_position=2, basis=Basis("fourier", 5))
MODEL = shape(n_layers=2, d_model=8, n_heads=2, d_mlp=16, n_ctx=3)


@pytest.fixture(params=["none", "LN", "RMS", "RMS with an epsilon that counts"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    kind, _, epsilon = request.param.partition(" ")
    model = replace(MODEL, normalization=kind, has_biases=kind == "LN", eps=0.5 if epsilon else 1e-5)
    shapes = {name: w.shape for name, w in weights(Transformer(model)).items()}  # biases and norms too: no identity
    bare = Checkpoint(0, model, {name: RNG.normal(size=of).astype(np.float32) for name, of in shapes.items()})
    return replace(bare, activations=activations(bare, CONTEXT, (*instrument.needs, "logits"), "answer"))


def test_after_the_last_layer_the_lens_reads_what_the_network_answers(checkpoint: Checkpoint) -> None:
    lens, whole = logit_lens(checkpoint, CONTEXT), losses(checkpoint, CONTEXT)
    assert lens.point == ("embedding", "after layer 0", "after layer 1")
    read = [lens.train_loss[-1], lens.test_loss[-1]]
    np.testing.assert_allclose(read, [whole.train_loss, whole.test_loss], rtol=1e-4)
    assert (lens.train_accuracy[-1], lens.test_accuracy[-1]) == (whole.train_accuracy, whole.test_accuracy)


@pytest.mark.parametrize("has_distractors", [True, False])
def test_the_parts_add_up_to_the_lead(checkpoint: Checkpoint, has_distractors: bool) -> None:
    context = replace(CONTEXT, probe=replace(PROBE, distractors=DISTRACTORS if has_distractors else None))
    lens, logits = logit_lens(checkpoint, context), checkpoint.activations["logits"].astype(np.float64)
    each = np.arange(len(logits))
    other = logits[each, DISTRACTORS] if has_distractors else logits.mean(axis=1)
    assert lens.attribution.sum() == pytest.approx((logits[each, PROBE.targets] - other).mean(), rel=1e-4, abs=1e-4)
    assert lens.against == ("the distractor" if has_distractors else "the mean logit")


def test_each_component_is_credited_with_what_it_writes_and_with_its_spread_over_the_inputs() -> None:
    """One layer without MLP; three directions, one for each answer; all targets 1, the distractor 0."""
    model = replace(MODEL, n_layers=1, d_mlp=0, d_model=3, d_vocab_out=3)
    stream, attention = np.tile([1, 0, 0], (4, 1)), np.array([[0, 3, 5], [0, 1, 0], [1, 0, 0], [0, 1, 5]])
    written = {"resid_pre": stream, "attn_out": attention, "resid_post": stream + attention}
    seen = {f"blocks.0.hook_{name}": x.astype(np.float32) for name, x in written.items()}
    probe = Probe(np.zeros((4, 3), int), np.ones(4, int), np.ones(4, bool), distractors=np.zeros(4, int))
    checkpoint = Checkpoint(0, model, {"unembed.W_U": np.eye(3, dtype=np.float32)}, seen)
    lens = logit_lens(checkpoint, replace(CONTEXT, probe=probe))
    assert lens.component == ("embedding", "layer 0 attention")
    np.testing.assert_allclose(lens.attribution, [-1, (3 + 1 - 1 + 1) / 4])
    np.testing.assert_allclose(lens.spread, [0, np.std([3, 1, -1, 1])])
    assert lens.test_accuracy is None
    np.testing.assert_allclose(lens.train_accuracy, [0, 0])  # ties and another answer


P = len(np.unique(ADDITION.probe.targets))


def lens(accuracy: float = 0.5, loss: float = 1.0, mean: float = 1.0) -> LogitLens:
    losses, accuracies = [np.array([0, loss])] * 2, [np.array([1, accuracy])] * 2
    return LogitLens(
        ("embedding", "after layer 0"), *losses, *accuracies, ("embedding", "layer 0 attention", "layer 0 MLP"),
        attribution=np.array([-9, 0, mean]), spread=np.array([1.0, 0, 2]), against="the mean logit",
    )  # fmt: skip


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_an_answer_is_beyond_guessing_where_it_is_there_after_the_last_layer(measure: str) -> None:
    known, guessed = lens(0.9, 0.3), lens(1 / P, np.log(P) + 0.01)
    assert_told_apart("logit_lens.overview", path(guessed, known), path(guessed, guessed), measure=measure)


@pytest.mark.parametrize(("grid", "n"), [((P, P), P * P), (None, P)])
def test_a_component_is_beyond_where_its_mean_is_more_than_toss_ups_of_its_spread(grid: tuple | None, n: int) -> None:
    edge = 2 * z_score(3) / np.sqrt(n)
    both = (path(lens(mean=x * edge)) for x in (1.01, 0.99))
    assert_told_apart("logit_lens.attribution", *both, replace(ADDITION, grid=grid))
