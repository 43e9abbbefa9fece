"""Verdicts on probes, on the lens, on leads and on positions: what is known is beyond, what is guessed is within."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic
from judging import over, said
from miscope.views.shared.guessing import deviates
from synthetic import P, context, table_of

from miscope import catalog
from miscope.core import Context
from miscope.instrument import Output
from miscope.views.shared import nulls
from miscope.views.shared.latents import MARGIN

BEYOND, WITHIN = nulls.BEYOND, nulls.WITHIN
CONTEXT = context()
OF = (
    *("attention_patterns", "attention_spectra", "head_scores", "composition_scores", "linear_probes", "logit_lens"),
    *("logit_difference", "loss_by_position"),
)
VIEWS = [name for name in catalog.views() if name.startswith(OF)]
PROBES = [name for name in VIEWS if name.startswith("linear_probes")]


def kind(view: str, first: Output, last: Output, of: Context = CONTEXT, **options: Any) -> str:
    """The kind of verdict on a network that was so at first and is so at last."""
    return said(view, over({0: first, 100: last}), of, **options).partition(":")[0]


# ---------------------------------------------------------------- probes


def probes(accuracy: float, shuffled: float = 0.1, majority: float = 0.1) -> Output:
    return replace(
        synthetic.linear_probes(0), accuracy=np.full((2, 3), accuracy), shuffled=np.full((2, 3), shuffled),
        majority=np.full(3, majority),
    )  # fmt: skip


@pytest.mark.parametrize("view", PROBES)
def test_a_latent_is_beyond_where_its_probe_beats_all_three_nulls(view):
    edge = MARGIN * 0.3 / (0.7 + MARGIN * 0.3)  # four times the odds of 0.3
    assert kind(view, probes(0.3), probes(edge + 0.01)) == BEYOND
    assert kind(view, probes(0.3), probes(0.35)) == WITHIN
    assert kind(view, probes(0.3), probes(edge + 0.01, shuffled=0.7)) == WITHIN
    assert kind(view, probes(0.3), probes(edge + 0.01, majority=0.7)) == WITHIN
    assert kind(view, probes(1.0), probes(1.0)) == WITHIN


def test_one_latent_needs_more_than_a_mean_over_three():
    assert kind("linear_probes.over_time", probes(0.3), probes(0.55)) == WITHIN
    assert kind("linear_probes", probes(0.3), probes(0.55)) == BEYOND


@pytest.mark.parametrize("view", PROBES)
def test_probes_without_an_untrained_network_have_no_verdict_and_no_curve_of_it(view):
    late = {"linear_probes": over({500: probes(0.3), 600: probes(0.9)})}
    table = table_of(catalog.view(view), late, CONTEXT, 600)
    assert table.attrs["null"] == f"{nulls.NONE}: {nulls.NO_START}."
    assert not any("untrained" in str(name) for name in table.get("readout", ()))


@pytest.mark.parametrize("view", VIEWS)
def test_without_an_untrained_network_there_is_a_sentence(view, sources):
    stored = sources[view.partition(".")[0]]
    verdict = said(view, over({step: stored[step] for step in (500, 1000)}))
    assert verdict.startswith((BEYOND, WITHIN, nulls.NONE)) and verdict.endswith(".")


# ---------------------------------------------------------------- lens and leads


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_an_answer_is_beyond_guessing_where_it_is_there_after_the_last_layer(measure):
    def lens(accuracy: float, loss: float) -> str:
        found = replace(synthetic.logit_lens(0), test_accuracy=np.array([1, accuracy]), test_loss=np.array([0.0, loss]))
        return kind("logit_lens", found, found, measure=measure)

    assert lens(0.9, 0.3) == BEYOND
    assert lens(1 / P, np.log(P) + 0.01) == WITHIN


@pytest.mark.parametrize(("is_grid", "n"), [(True, P * P), (False, P)])
def test_a_component_is_beyond_where_its_mean_is_more_than_toss_ups_of_its_spread(is_grid, n):
    def adds(mean: float) -> str:
        found = replace(synthetic.logit_lens(0), attribution=np.array([-9, 0, mean]), spread=np.array([1.0, 0, 2]))
        return kind("logit_lens.attribution", found, found, context(is_grid=is_grid))

    edge = 2 * deviates(3) / np.sqrt(n)
    assert (adds(0.99 * edge), adds(1.01 * edge)) == (WITHIN, BEYOND)


def test_a_lead_is_beyond_where_it_is_more_than_toss_ups():
    def lead(mean: float) -> str:
        found = replace(synthetic.logit_difference(0), test_mean=mean, test_std=1.0)
        return kind("logit_difference", found, found)

    assert [lead(mean) for mean in (0.5, 0.1, -2.0)] == [BEYOND, WITHIN, WITHIN]


@pytest.mark.parametrize("view", ["logit_difference.distribution", "logit_difference.shares"])
def test_the_right_answer_leads_on_more_inputs_than_tosses_of_a_coin(view):
    def leads(share: float) -> str:
        found = replace(synthetic.logit_difference(0), test_positive=share)
        return kind(view, found, found)

    assert [leads(share) for share in (0.9, 0.55, 0.1)] == [BEYOND, WITHIN, WITHIN]


# ---------------------------------------------------------------- positions


def losses(end: float, seed: int) -> Output:
    """Twenty positions whose loss goes that far, on top of noise."""
    loss = 3 + 0.01 * np.random.default_rng(seed).normal(size=20) + np.linspace(0, end, 20)
    score = float(loss[-2:].mean() - loss[:2].mean())
    return replace(synthetic.loss_by_position(0), test_loss=loss, train_loss=loss, score=score)


@pytest.mark.parametrize(("end", "expected"), [(-0.5, BEYOND), (0.0, WITHIN), (0.5, WITHIN)])
def test_context_is_of_use_where_its_end_is_foretold_better_than_its_start(end, expected):
    assert kind("loss_by_position", losses(0, 1), losses(end, 2)) == expected


def test_a_position_is_known_where_its_loss_is_below_that_of_its_answers_shares():
    tokens = np.zeros((P * P, 24), dtype=np.int64)
    following = np.broadcast_to(np.arange(P * P)[:, None] // 2 % 2, tokens.shape)  # two answers: ln 2
    asked = replace(CONTEXT, probe=replace(CONTEXT.probe, tokens=tokens, following=following))

    def at(loss: float) -> str:
        start = synthetic.loss_by_position(0)
        found = replace(start, test_loss=np.where(start.position == 9, loss, 0.8))
        return said("loss_by_position.positions", over({0: start, 100: found}), asked)

    assert at(0.2).startswith(f"{BEYOND}: test loss at position 9 0.2, against 0.693 in")
    assert at(0.75).startswith(WITHIN)
