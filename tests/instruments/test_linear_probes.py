"""Residual streams built by hand."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from judging import judged, over

from miscope.catalog import builtin
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, NotApplicable, Probe
from miscope.instruments.linear_probes.measure import MARGIN, LinearProbes, linear_probes
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


def test_a_linear_function_of_the_stream_is_read_in_its_layer_and_what_is_not_there_stays_at_the_majority() -> None:
    output = measured()
    assert output.layer == ("embedding", "layer 0", "layer 1")
    assert output.accuracy[2, 0] > 0.95
    np.testing.assert_allclose(output.accuracy[:2, 0], 1 / 3, atol=0.05)
    np.testing.assert_allclose(output.accuracy[:, 1], 1 / 3, atol=0.05)
    np.testing.assert_allclose(output.accuracy[:, 2], output.majority[2], atol=0.01)
    np.testing.assert_allclose(output.majority[2], 0.9, atol=0.02)


def test_twins_share_a_half_so_that_none_is_answered_by_heart() -> None:
    """Every input stands there twice and has a direction of its own: a split between twins would answer all."""
    n = DIM
    twins = np.tile(np.eye(n, dtype=np.float32), (3, 2, 1))
    tokens = np.tile(TOKENS[:n], (2, 1))
    probe = Probe(tokens, np.zeros(2 * n, dtype=np.int64), np.ones(2 * n, dtype=bool))
    context = Context(probe, 1, Basis("fourier", 7), latents={"own": np.tile(np.arange(n), 2)})
    assert not measured(context, twins).accuracy.any()


def test_another_seed_halves_the_inputs_in_another_way() -> None:
    assert not np.array_equal(measured().shuffled, measured(seed=1).shuffled)
    np.testing.assert_array_equal(measured().shuffled, measured().shuffled)


def test_without_latents_with_one_input_or_without_a_ridge_there_is_nothing_to_probe() -> None:
    with pytest.raises(NotApplicable, match="declares none"):
        measured(replace(CONTEXT, latents={}))
    alike = replace(PROBE, tokens=np.zeros_like(TOKENS))
    with pytest.raises(NotApplicable, match="at least two probe inputs"):
        measured(replace(CONTEXT, probe=alike))
    with pytest.raises(MiscopeError, match="`ridge` = 0; allowed: above 0"):
        measured(ridge=0)


# ---------------------------------------------------------------- what chance would show

VIEWS = ["linear_probes.overview", "linear_probes.latents", "linear_probes.over_time"]


def probes(accuracy: float, shuffled: float = 0.1, majority: float = 0.1) -> LinearProbes:
    by_layer = {"accuracy": np.full((2, 3), accuracy), "shuffled": np.full((2, 3), shuffled)}
    return LinearProbes(
        latent=("a", "b", "c"), layer=("embedding", "layer 0"), majority=np.full(3, majority), **by_layer
    )


@pytest.mark.parametrize("view", VIEWS)
def test_a_latent_is_beyond_where_its_probe_beats_all_three_nulls(view: str) -> None:
    edge = MARGIN * 0.3 / (0.7 + MARGIN * 0.3)  # four times the odds of 0.3
    within = [probes(0.35), probes(edge + 0.01, shuffled=0.7), probes(edge + 0.01, majority=0.7)]
    assert judged(view, over({0: probes(0.3), 100: probes(edge + 0.01)})).is_beyond
    assert {judged(view, over({0: probes(0.3), 100: x})).verdict for x in within} == {"Within its null"}
    assert judged(view, over({0: probes(1.0), 100: probes(1.0)})).verdict == "Within its null"


def test_one_latent_needs_more_than_a_mean_over_three() -> None:
    path = over({0: probes(0.3), 100: probes(0.55)})
    assert not judged("linear_probes.over_time", path).is_beyond
    assert judged("linear_probes.overview", path).is_beyond


@pytest.mark.parametrize("view", VIEWS)
def test_probes_without_an_untrained_network_have_no_null_and_no_curve_of_it(view: str) -> None:
    late = over({500: probes(0.3), 600: probes(0.9)})
    assert judged(view, late).sentence == "No null: there is no checkpoint of step 0, the untrained network."
    rows = builtin().view(view).tabulate(late, CONTEXT, step=600).data
    assert not any("untrained" in str(name) for name in rows.get("readout", ()))
