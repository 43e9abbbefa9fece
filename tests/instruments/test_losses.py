"""Losses of logits whose answers are known."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from judging import CONTEXT as ADDITION
from judging import P, judged, path

from miscope.calibration.models import on_planted, probe, shape
from miscope.catalog import builtin
from miscope.core import Context
from miscope.instrument import Artifact, Table
from miscope.instruments._shared import guessing
from miscope.instruments.losses.measure import Losses, instrument, losses


def measured(logits: list[list[float]], targets: list[int], is_train: list[bool]) -> Losses:
    plain = probe(len(targets))
    inputs = replace(plain.probe, targets=np.array(targets), is_train=np.array(is_train))
    return on_planted(instrument, shape(), replace(plain, probe=inputs), logits=np.array(logits))


def test_an_even_guess_costs_the_log_of_the_number_of_classes() -> None:
    output = measured([[0, 0, 0, 0], [5, 5, 5, 5]], [0, 1], [True, False])
    assert output.train_loss == output.test_loss == output.all_loss == pytest.approx(np.log(4))
    np.testing.assert_allclose(output.confidence, 0.25)


def test_splits_are_measured_apart() -> None:
    output = measured([[2, 0, 0, 0], [0, 0, 0, 3], [1, 0, 0, 0]], [0, 3, 1], [True, False, False])
    assert (output.train_accuracy, output.test_accuracy, output.all_accuracy) == (1, 0.5, pytest.approx(2 / 3))
    assert (output.train_margin_mean, output.train_margin_min) == (2, 2)
    assert (output.test_margin_mean, output.test_margin_min) == (1, -1)
    np.testing.assert_array_equal(output.is_correct, [True, True, False])


def test_a_tie_is_not_right_and_a_class_that_no_input_has_is_absent() -> None:
    output = measured([[2, 0, 0, 0], [1, 1, 0, 0], [0, 2, 0, 0]], [0, 0, 1], [True, True, False])
    np.testing.assert_array_equal(output.class_accuracy, [0.5, 1, np.nan, np.nan])


def test_an_empty_split_is_absent_and_not_zero() -> None:
    output = measured([[2, 0, 0, 0]], [0], [True])
    assert output.test_loss is output.test_accuracy is output.test_margin_mean is output.test_margin_min is None
    assert measured([[2, 0, 0, 0]], [0], [False]).train_loss is None


@pytest.mark.parametrize(
    ("step", "train", "test", "margin"),
    [(200, 0.0319, 20.2, -73), (10_000, 2.9e-7, 23.6, -78), (16_900, 1.2e-7, 6.3e-6, 6.0)],
)
def test_the_reference_run_gives_its_known_losses(step: int, train: float, test: float, margin: float) -> None:
    output = losses(calibration_model.checkpoint(step), calibration_model.context())
    assert output.train_loss == pytest.approx(train, rel=0.03)
    assert output.test_loss == pytest.approx(test, rel=0.01)
    assert output.test_margin_min == pytest.approx(margin, abs=0.5)


VIEWS = builtin().views("losses")


def answering(*logits: np.ndarray, context: Context = ADDITION) -> Artifact[Losses]:
    """At steps 0, 100, ..."""
    return path(*(on_planted(instrument, shape(), context, logits=x) for x in logits))


RIGHT = np.eye(P)[ADDITION.probe.targets]


def noise(seed: int, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(seed).normal(size=(P * P, P))


@pytest.mark.parametrize("view", VIEWS)
def test_a_network_that_knows_the_answers_is_beyond_guessing(view: str) -> None:
    assert judged(view, answering(noise(0), 8 * RIGHT + noise(1))).is_beyond


@pytest.mark.parametrize("size", [1e-4, 1.0, 20.0])
def test_noise_and_one_answer_for_all_are_within_guessing(size: float) -> None:
    constant = [np.tile(size * np.eye(P)[k], (P * P, 1)) for k in range(P)]
    guesses = [answering(logits) for logits in (*(noise(seed, size) for seed in range(5)), *constant)]
    assert {judged(view, guess).verdict for view in VIEWS for guess in guesses} == {"Within its null"}


def test_a_network_that_knows_its_training_inputs_alone_is_within_guessing_on_the_others() -> None:
    by_heart = answering(20 * RIGHT * ADDITION.probe.is_train[:, None] + noise(0))
    for view in ("losses.overview", "losses.accuracy", "losses.correctness", "losses.margins"):
        assert judged(view, by_heart).verdict == "Within its null", view
    assert judged("losses.confidence", by_heart, inputs="train").is_beyond
    assert judged("losses.confidence", by_heart, inputs="test").verdict == "Within its null"


def test_without_test_inputs_the_training_inputs_are_judged() -> None:
    all_train = replace(ADDITION, probe=replace(ADDITION.probe, is_train=np.ones(P * P, dtype=bool)))
    known = answering(8 * RIGHT, context=all_train)
    sentence = judged("losses.accuracy", known, all_train).sentence
    assert sentence == "Beyond its null: train accuracy 100 %, against 13 % in 99 % of guesses."  # 22 of 169
    assert judged("losses.confidence", known, all_train, inputs="test").reason == "there are no such inputs"


def test_luck_is_the_binomial_distribution_s() -> None:
    """Of 10 tosses, 9 or fewer are heads with 0.99902, 8 or fewer with 0.98926."""
    assert guessing.guessed_share(10, 0.5) == 0.9
    assert guessing.guessed_share(10, 0.5, n_comparisons=1000) == 1.0
    assert guessing.guessed_share(4, 1.0) == 1.0
    drawn = np.random.default_rng(0).binomial(500, 0.02, 20_000) / 500
    assert guessing.guessed_share(500, 0.02) == np.quantile(drawn, 0.99, method="inverted_cdf")


def test_an_answer_that_is_right_more_often_than_others_is_a_better_guess() -> None:
    probe = replace(ADDITION.probe, targets=np.where(np.arange(P * P) % 10 < 6, 4, ADDITION.probe.targets))
    chosen = ~probe.is_train
    share = (probe.targets[chosen] == 4).mean()
    assert guessing.chance(probe, chosen) == share > 0.5
    assert guessing.entropy(probe, chosen) < np.log(P) - 0.5
    allowed = np.ones((P * P, P), dtype=bool)
    assert guessing.chance(replace(probe, allowed=allowed), chosen) == 1


def tabulated(view: str, source: Artifact[Losses], context: Context = ADDITION, **options: str) -> Table:
    return builtin().view(view).tabulate(source, context, step=source.steps[-1], **options)


def test_a_split_or_a_class_that_was_not_measured_has_no_row() -> None:
    known = answering(8 * RIGHT).last
    some = path(replace(known, train_loss=None, class_accuracy=np.where(np.arange(P) == 3, np.nan, 1.0)))
    assert list(tabulated("losses.overview", some).data["split"]) == ["test"]
    assert list(tabulated("losses.class_accuracy", some).data["class"]) == [k for k in range(P) if k != 3]


def test_confidence_of_train_inputs_keeps_only_those() -> None:
    rows = tabulated("losses.confidence", answering(8 * RIGHT), inputs="train").data
    assert list(rows["a"] * P + rows["b"]) == list(np.flatnonzero(ADDITION.probe.is_train))


def test_a_probe_that_is_no_grid_is_drawn_along_one_axis() -> None:
    table = tabulated("losses.confidence", answering(8 * RIGHT), replace(ADDITION, grid=None))
    assert set(table.data["a"]) == {0} and len(table.data) == P * P
    assert table.titles["b"] == "probe input"
