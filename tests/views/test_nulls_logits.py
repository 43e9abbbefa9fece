"""What views of filtered logits say of circuits, and of noise."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from judging import over, said
from synthetic import STEPS, P

from miscope import catalog
from miscope.trackers.progress_measures import ProgressMeasures
from miscope.views.shared import nulls, progress

CONTEXT = synthetic.context()


def test_the_share_of_noise_is_exceeded_in_one_of_a_hundred() -> None:
    """White noise over all pairs that one function of the output carries: the worst case that is taken."""
    p, basis = 13, CONTEXT.basis
    place = np.add.outer(np.arange(p), np.arange(p)).ravel() % p
    rng, largest = np.random.default_rng(0), []
    for _ in range(3000):
        values = rng.normal(size=p * p)
        sums = np.bincount(place, values) / p**0.5
        largest.append(((basis.matrix @ sums)[1:] ** 2).reshape(-1, 2).sum(axis=1).max() / (values**2).sum())
    share = np.mean(np.array(largest) > progress.share_of_noise(p))
    assert 0.004 < share < 0.018  # 0.01, three standard errors either way


OF_SPECTRA = [name for name in catalog.views() if name.startswith("logit_spectra.")]
OF_PROGRESS = [name for name in catalog.views() if name.startswith("progress_measures.")]


@pytest.mark.parametrize("view", OF_SPECTRA)
def test_logits_of_a_circuit_are_beyond_noise(view: str) -> None:
    spectra_of = synthetic.sources()["logit_spectra"]
    assert said(view, over({s: spectra_of[s] for s in STEPS})).startswith(nulls.BEYOND)
    assert said(view, over({0: spectra_of[0]})).startswith(nulls.WITHIN)


def without_keys(measures: ProgressMeasures) -> ProgressMeasures:
    nothing = np.full(len(STEPS), np.nan)
    return replace(
        measures, key_frequency=np.array([], dtype=int), restricted_loss=np.tile(nothing, (3, 1)),
        excluded_loss=nothing, key_excluded_loss=np.empty((0, len(STEPS))), trig_loss=nothing, key_share=nothing,
        trig_share=nothing,
    )  # fmt: skip


@pytest.mark.parametrize("view", OF_PROGRESS)
def test_a_circuit_that_formed_is_beyond_its_null_and_no_key_is_within(view: str) -> None:
    measures = synthetic.progress_measures()
    assert said(view, measures).startswith(nulls.BEYOND)
    assert said(view, without_keys(measures)) == (
        "Within its null: number of key frequencies 0, against 0 in logits of noise."
    )


def test_keys_that_the_network_does_not_use_are_within_their_null() -> None:
    measures = replace(
        synthetic.progress_measures(), restricted_loss=np.full((3, len(STEPS)), np.log(P)),
        key_share=np.full(len(STEPS), 0.01), key_excluded_loss=np.full((2, len(STEPS)), 1.2e-3),
    )  # fmt: skip
    assert {said(view, measures).partition(":")[0] for view in OF_PROGRESS} == {nulls.WITHIN}
