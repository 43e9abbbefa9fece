"""What views of answers say of networks that know them, and of those that guess."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from judging import over, said
from miscope.analyzers.losses import Losses, losses
from synthetic import P

from miscope import catalog
from miscope.core import Checkpoint, Context, ModelConfig
from miscope.instrument import Artifact
from miscope.trackers.graduation import graduation
from miscope.views.shared import guessing, nulls

CONTEXT = synthetic.context()
MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=4, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
OF_LOSSES = [name for name in catalog.views() if name.startswith("losses.")]


def answering(*logits: np.ndarray, context: Context = CONTEXT) -> Artifact[Losses]:
    """At steps 0, 100, ..."""
    path = {100 * i: Checkpoint(100 * i, MODEL, {}, {"logits": x.astype(np.float32)}) for i, x in enumerate(logits)}
    return over({step: losses(checkpoint, context) for step, checkpoint in path.items()})


def right(size: float) -> np.ndarray:
    return size * np.eye(P)[CONTEXT.probe.targets]


def noise(seed: int, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(seed).normal(size=(P * P, P))


@pytest.mark.parametrize("view", OF_LOSSES)
def test_a_network_that_knows_the_answers_is_beyond_guessing(view: str) -> None:
    assert said(view, answering(noise(0), right(8.0) + noise(1))).startswith(nulls.BEYOND)


@pytest.mark.parametrize("view", OF_LOSSES)
@pytest.mark.parametrize("size", [1e-4, 1.0, 20.0])
def test_noise_and_one_answer_for_all_are_within_guessing(view: str, size: float) -> None:
    sentences = [said(view, answering(noise(seed, size))) for seed in range(5)]
    constant = [said(view, answering(np.tile(size * np.eye(P)[k], (P * P, 1)))) for k in range(P)]
    assert {sentence.partition(":")[0] for sentence in sentences + constant} == {nulls.WITHIN}


@pytest.mark.parametrize("view", ["losses.overview", "losses.accuracy", "losses.correctness", "losses.margins"])
def test_a_network_that_knows_its_training_inputs_alone_is_within_guessing_on_the_others(view: str) -> None:
    by_heart = right(20.0) * CONTEXT.probe.is_train[:, None] + noise(0)
    assert said(view, answering(by_heart)).startswith(nulls.WITHIN)
    assert said("losses.confidence", answering(by_heart), inputs="train").startswith(nulls.BEYOND)
    assert said("losses.confidence", answering(by_heart), inputs="test").startswith(nulls.WITHIN)


def test_without_test_inputs_the_training_inputs_are_judged() -> None:
    all_train = replace(CONTEXT, probe=replace(CONTEXT.probe, is_train=np.ones(P * P, dtype=bool)))
    sentence = said("losses.accuracy", answering(right(8.0), context=all_train), all_train)
    assert sentence == "Beyond its null: train accuracy 100 %, against 13 % in 99 % of guesses."  # 22 of 169
    assert said("losses.confidence", answering(right(8.0)), all_train, inputs="test").startswith(nulls.BEYOND)


def test_luck_is_the_binomial_distribution_s() -> None:
    """Of 10 tosses, 9 or fewer are heads with 0.99902, 8 or fewer with 0.98926."""
    assert guessing.luckiest_share(10, 0.5) == 0.9
    assert guessing.luckiest_share(10, 0.5, looks=1000) == 1.0
    assert guessing.luckiest_share(4, 1.0) == 1.0
    drawn = np.random.default_rng(0).binomial(500, 0.02, 20_000) / 500
    assert guessing.luckiest_share(500, 0.02) == np.quantile(drawn, 0.99, method="inverted_cdf")


def test_an_answer_that_is_right_more_often_than_others_is_a_better_guess() -> None:
    probe = replace(CONTEXT.probe, targets=np.where(np.arange(P * P) % 10 < 6, 4, CONTEXT.probe.targets))
    chosen = ~probe.is_train
    share = (probe.targets[chosen] == 4).mean()
    assert guessing.chance(probe, chosen) == share > 0.5
    assert guessing.entropy(probe, chosen) < np.log(P) - 0.5
    allowed = np.ones((P * P, P), dtype=bool)
    assert guessing.chance(replace(probe, allowed=allowed), chosen) == 1


@pytest.mark.parametrize("view", ["graduation.overview", "graduation.share"])
def test_inputs_that_last_are_beyond_guessing_and_a_guess_that_stays_is_not(view: str) -> None:
    learned = graduation(answering(noise(0), *[right(9.0)] * 4), CONTEXT)
    stays = graduation(answering(*[noise(0)] * 5), CONTEXT)
    assert said(view, learned).startswith(nulls.BEYOND)
    assert said(view, stays).startswith(nulls.WITHIN)


def test_inputs_that_come_and_go_are_forgotten_more_often_than_guesses() -> None:
    in_turn = graduation(answering(*[right(9.0), noise(0)] * 4), CONTEXT)
    guessed = graduation(answering(*map(noise, range(8))), CONTEXT)
    one_for_all = graduation(answering(*(np.tile(np.eye(P)[k], (P * P, 1)) for k in range(8))), CONTEXT)
    assert said("graduation.forgotten", in_turn).startswith(nulls.BEYOND)
    assert said("graduation.forgotten", guessed).startswith(nulls.WITHIN)
    assert said("graduation.forgotten", one_for_all).startswith(nulls.WITHIN)


def test_phases_are_judged_by_the_accuracy_that_they_end_with() -> None:
    assert said("phases.overview", replace(synthetic.phases(), accuracy=0.9)).startswith(nulls.BEYOND)
    assert said("phases.overview", replace(synthetic.phases(), accuracy=0.1)).startswith(nulls.WITHIN)
