"""Residual streams built by hand."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from miscope.analyzers.linear_probes import LinearProbes, linear_probes
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

N, DIM = 3000, 16
MODEL = ModelConfig(n_layers=2, d_model=DIM, n_heads=2, d_head=8, d_mlp=0, n_ctx=2, d_vocab=N, d_vocab_out=3)
RNG = np.random.default_rng(0)
STREAMS = RNG.normal(size=(3, N, DIM)).astype(np.float32)
STREAMS[0] = 1  # nothing about the input is in the embedding at the answer
LINEAR = STREAMS[2, :, :3].argmax(axis=1)  # the largest of three directions, after the last layer only
LATENTS = {"linear": LINEAR, "random": RNG.integers(3, size=N), "rare": (RNG.random(N) < 0.1).astype(np.int64)}
TOKENS = np.stack([np.arange(N), np.zeros(N, dtype=np.int64)], axis=1)
PROBE = Probe(TOKENS, np.zeros(N, dtype=np.int64), np.ones(N, dtype=bool))
CONTEXT = Context(PROBE, 1, Basis("fourier", 7), latents=MappingProxyType(LATENTS))


def measured(context: Context = CONTEXT, streams: np.ndarray = STREAMS, **settings: float) -> LinearProbes:
    names = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
    return linear_probes(Checkpoint(0, MODEL, {}, dict(zip(names, streams, strict=True))), context, **settings)


def test_a_linear_function_of_the_stream_is_found_in_its_layer_and_in_no_other() -> None:
    found = measured()
    assert found.layer == ("embedding", "layer 0", "layer 1")
    assert found.accuracy[2, 0] > 0.95
    np.testing.assert_allclose(found.accuracy[:2, 0], 1 / 3, atol=0.05)


def test_one_hot_labels_in_the_stream_are_found_without_an_error() -> None:
    planted = STREAMS.copy()
    planted[1, :, 5:8] = 10 * np.eye(3)[LATENTS["random"]]
    assert measured(streams=planted).accuracy[1, 1] == 1


def test_labels_that_have_nothing_to_do_with_the_stream_stay_at_the_majority() -> None:
    found = measured()
    np.testing.assert_allclose(found.accuracy[:, 1], 1 / 3, atol=0.05)
    np.testing.assert_allclose(found.accuracy[:, 2], found.majority[2], atol=0.01)
    np.testing.assert_allclose(found.majority[2], 0.9, atol=0.02)


def test_shuffled_labels_cannot_be_read_even_where_the_labels_can() -> None:
    np.testing.assert_allclose(measured().shuffled[:, 0], 1 / 3, atol=0.05)


def test_twins_share_a_half_so_that_none_is_answered_by_heart() -> None:
    """Every input stands there twice and has a direction of its own: a split between twins would answer all."""
    n = DIM
    twins = np.tile(np.eye(n, dtype=np.float32), (3, 2, 1))
    tokens = np.tile(TOKENS[:n], (2, 1))
    tokens[:, 1] = 0
    probe = Probe(tokens, np.zeros(2 * n, dtype=np.int64), np.ones(2 * n, dtype=bool))
    context = Context(probe, 1, Basis("fourier", 7), latents={"own": np.tile(np.arange(n), 2)})
    assert not measured(context, twins).accuracy.any()


def test_another_seed_halves_the_inputs_in_another_way() -> None:
    assert not np.array_equal(measured().shuffled, measured(seed=1).shuffled)
    np.testing.assert_array_equal(measured().shuffled, measured().shuffled)


def test_without_latents_or_with_one_input_there_is_nothing_to_probe() -> None:
    with pytest.raises(NotApplicable, match="declares none"):
        measured(replace(CONTEXT, latents={}))
    alike = replace(PROBE, tokens=np.zeros_like(TOKENS))
    with pytest.raises(NotApplicable, match="at least two probe inputs"):
        measured(replace(CONTEXT, probe=alike))


def test_no_ridge_at_all_is_refused() -> None:
    with pytest.raises(MiscopeError, match="`ridge` = 0; allowed: above 0"):
        measured(ridge=0)
