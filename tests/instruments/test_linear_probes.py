"""Residual streams built by hand."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from judging import assert_told_apart, judged, path

from miscope.calibration.models import probe, shape
from miscope.catalog import builtin
from miscope.core import Checkpoint, Context, MiscopeError, NotApplicable
from miscope.instruments.linear_probes.measure import MARGIN, LinearProbes, linear_probes

N, DIM = 3000, 16
RNG = np.random.default_rng(0)
STREAMS = RNG.normal(size=(3, N, DIM)).astype(np.float32)
STREAMS[0] = 1  # nothing about the input is in the embedding at the answer
LINEAR = STREAMS[2, :, :3].argmax(axis=1)  # the largest of three directions, after the last layer only
LATENTS = {"linear": LINEAR, "random": RNG.integers(3, size=N), "rare": (RNG.random(N) < 0.1).astype(np.int64)}
TOKENS = np.stack([np.arange(N), np.zeros(N, dtype=np.int64)], axis=1)
PROBE = replace(probe(N).probe, tokens=TOKENS)
CONTEXT = replace(probe(N), probe=PROBE, answer_position=1, latents=MappingProxyType(LATENTS))


def measured(context: Context = CONTEXT, streams: np.ndarray = STREAMS, **settings: float) -> LinearProbes:
    names = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
    return linear_probes(
        Checkpoint(0, shape(n_layers=2), {}, dict(zip(names, streams, strict=True))), context, **settings
    )


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
    twins, tokens = np.tile(np.eye(DIM, dtype=np.float32), (3, 2, 1)), np.tile(TOKENS[:DIM], (2, 1))
    inputs = replace(probe(2 * DIM).probe, tokens=tokens)
    context = replace(CONTEXT, probe=inputs, latents={"own": np.tile(np.arange(DIM), 2)})
    assert not measured(context, twins).accuracy.any()


def test_another_seed_halves_the_inputs_in_another_way() -> None:
    assert not np.array_equal(measured().shuffled, measured(seed=1).shuffled)
    np.testing.assert_array_equal(measured().shuffled, measured().shuffled)


def test_without_latents_with_one_input_or_without_a_ridge_there_is_nothing_to_probe() -> None:
    with pytest.raises(NotApplicable, match="declares none"):
        measured(replace(CONTEXT, latents={}))
    with pytest.raises(NotApplicable, match="at least two probe inputs"):
        measured(replace(CONTEXT, probe=replace(PROBE, tokens=np.zeros_like(TOKENS))))
    with pytest.raises(MiscopeError, match="`ridge` = 0; allowed: above 0"):
        measured(ridge=0)


VIEWS = ["linear_probes.overview", "linear_probes.latents", "linear_probes.over_time"]


def probes(accuracy: float, shuffled: float = 0.1, majority: float = 0.1) -> LinearProbes:
    by_layer = (np.full((2, 3), share) for share in (accuracy, shuffled))
    return LinearProbes(("a", "b", "c"), ("embedding", "layer 0"), *by_layer, majority=np.full(3, majority))


@pytest.mark.parametrize("view", VIEWS)
def test_a_latent_is_beyond_where_its_probe_beats_all_three_nulls(view: str) -> None:
    edge = MARGIN * 0.3 / (0.7 + MARGIN * 0.3)  # four times the odds of 0.3
    within = [probes(0.35), probes(edge + 0.01, shuffled=0.7), probes(edge + 0.01, majority=0.7)]
    for chance in (*(path(probes(0.3), x) for x in within), path(probes(1.0), probes(1.0))):
        assert_told_apart(view, path(probes(0.3), probes(edge + 0.01)), chance)


def test_one_latent_needs_more_than_a_mean_over_three() -> None:
    both = path(probes(0.3), probes(0.55))
    assert not judged("linear_probes.over_time", both).is_beyond
    assert judged("linear_probes.overview", both).is_beyond


@pytest.mark.parametrize("view", VIEWS)
def test_probes_without_an_untrained_network_have_no_null_and_no_curve_of_it(view: str) -> None:
    late = path(probes(0.3), probes(0.9), first=500)
    assert judged(view, late).sentence == "No null: there is no checkpoint of step 0, the untrained network."
    rows = builtin().view(view).tabulate(late, CONTEXT, step=600).data
    assert not any("untrained" in str(name) for name in rows.get("readout", ()))
