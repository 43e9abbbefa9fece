"""Intervals hold the truth, refusals stand where there is none, and a study says all of it."""

from dataclasses import replace

import numpy as np
import pytest
from runs import TINY, TRUE, changed, chinchilla, chinchilla_law, drawn, published

from miscope.core import MiscopeError
from miscope.scaling.documents import plain
from miscope.scaling.fit import Fit, FitSettings, exponent
from miscope.scaling.laws import fit_of
from miscope.scaling.parametric import Points, fitted, redrawn_laws
from miscope.scaling.results import read
from miscope.workspace.files import pretty_json

QUICK = FitSettings(methods=("squared",), draws=60)


@pytest.fixture(scope="module")
def study() -> Fit:
    return fit_of(drawn(0.003), QUICK)


def test_intervals_hold_the_law_that_made_the_runs(study: Fit) -> None:
    law = study.parametric["squared"]
    asked = law.targets[0]
    assert asked.budget == pytest.approx(1e22)
    size, tokens = TRUE.best_parameters(1e22), TRUE.best_tokens(1e22)
    for answer, truth in (
        *((law.estimates[name], getattr(TRUE, name)) for name in ("E", "alpha", "beta")),
        (law.answers["a"], TRUE.exponent), (asked.parameters, size), (asked.tokens, tokens),
        (asked.tokens_per_parameter, tokens / size),
    ):  # fmt: skip
        assert answer.low < truth < answer.high
    assert asked.predicted_loss.high - asked.predicted_loss.low > asked.loss.high - asked.loss.low


def test_most_intervals_hold_the_truth() -> None:
    hits = 0
    for seed in range(12):
        runs = drawn(0.003, seed)
        points = Points(runs.parameters, runs.tokens, runs.loss, floor=1.8)
        law = fitted(points, "squared")
        draws = redrawn_laws(points, "squared", law, 40, seed)
        a = exponent(float(law.exponent), np.asarray(draws.exponent))
        hits += a.low <= TRUE.exponent <= a.high
    assert hits >= 9  # 11 are expected


def test_the_same_runs_and_settings_give_the_same_bytes_and_another_seed_other_intervals(study: Fit) -> None:
    assert pretty_json(plain(fit_of(drawn(0.003), QUICK))) == pretty_json(plain(study))
    other = fit_of(drawn(0.003), replace(QUICK, seed=1)).parametric["squared"]
    assert other.law == study.parametric["squared"].law
    assert other.estimates != study.parametric["squared"].estimates


def test_every_answer_is_a_number_or_a_refusal(study: Fit) -> None:
    refused = fit_of(drawn(0.05, n_budgets=2), QUICK)
    for fit in (study, refused):
        estimates = [e for law in fit.parametric.values() for e in law.estimates.values()]
        estimates += [one.a for one in fit.isoflop.values()]
        assert all((e.value is None) == (e.refusal is not None) for e in estimates)
    assert refused.isoflop["parabola"].a.refusal.kind == "too few budgets"
    assert refused.parametric["squared"].estimates["E"].refusal.kind == "not identifiable"


def test_too_few_runs_are_refused_whole() -> None:
    runs = drawn(0.0, n_budgets=1)
    refused = fit_of(replace(runs, runs=runs.runs[:4]), QUICK)
    assert refused.refusal.kind == "too few points"
    assert refused.parametric == {}
    assert refused.held_out is None


def test_exponents_that_the_linear_programme_cannot_take_are_no_law() -> None:
    wild = changed(drawn(0.003), {0: {"loss": 1.7}, 3: {"loss": 3.3}})
    points = Points(*(np.delete(v, [2, 5]) for v in (wild.parameters, wild.tokens, wild.loss)))
    draws = redrawn_laws(points, "asymmetric", fitted(points, "asymmetric"), 1, seed=0)
    assert 0 < draws.E[0] < wild.loss.max()


def test_the_methods_are_laid_side_by_side_with_the_bias_of_isoflop(study: Fit) -> None:
    assert set(study.disagreement.a) == {"squared", "IsoFLOP, parabola", "IsoFLOP, akima"}
    assert "differ by a factor" in study.disagreement.sentence
    bias = study.bias["parabola"]
    assert bias.targets[0].ratio != pytest.approx(1, abs=0.005)
    assert bias.a_of_law == study.parametric["squared"].law.exponent


def test_an_outlier_is_listed_with_its_reason_and_fitted_with_and_without() -> None:
    runs = drawn(0.002)
    fit = fit_of(changed(runs, {3: {"loss": 1.2 * runs.loss[3]}}), QUICK)
    listed = {run.id: run.reasons for run in fit.outliers}
    assert "above the law" in listed["r3"][0]
    with_it, without = fit.sensitivity[0], fit.sensitivity[-1]
    assert (with_it.n, without.n) == (28, 28 - len(listed))
    assert abs(without.law.alpha - TRUE.alpha) < abs(with_it.law.alpha - TRUE.alpha)


def test_what_the_settings_leave_out_is_told_and_fitted_again_with_it() -> None:
    runs = changed(drawn(0.002), {5: {"loss": float("nan")}})
    fit = fit_of(runs, replace(QUICK, exclude={"r3": "the disk was full"}))
    assert {run.id: run.by for run in fit.set_aside} == {"r3": "settings", "r5": "fit"}
    assert [some.n for some in fit.sensitivity[:2]] == [26, 27]
    with pytest.raises(MiscopeError, match="no run of that id"):
        fit_of(runs, replace(QUICK, exclude={"r99": "?"}))


def test_a_known_floor_is_pinned_beside_the_free_fit_and_a_loss_below_it_is_listed() -> None:
    fit = fit_of(changed(drawn(0.003, entropy=1.8), {0: {"loss": 1.7}}), QUICK)
    assert fit.headline == "squared, E known"
    assert fit.law.law.E == 1.8
    assert any("below the source's entropy" in reason for run in fit.outliers for reason in run.reasons)


def test_the_law_is_asked_for_runs_that_it_has_not_seen_and_the_checklist_is_answered(study: Fit) -> None:
    assert study.held_out.n == 7
    assert study.held_out.mean_absolute_relative_error < 0.02
    answers = {item.question: item.answer for item in study.checklist}
    assert answers["How is N counted?"] == "all but embeddings"
    assert answers["Which model?"] == "Toy"
    assert answers["Which schedule?"] is None
    assert "60 bootstraps" in answers["How are intervals made?"]


@pytest.mark.parametrize("wrong", [{"methods": ()}, {"draws": 3}, {"targets": (0.0,)}], ids=str)
def test_wrong_settings_are_one_line(wrong: dict) -> None:
    with pytest.raises(MiscopeError, match="allowed"):
        FitSettings(**wrong)


def test_the_standard_errors_of_the_replication_are_repeated() -> None:
    """With 150 draws, within their own scatter; `make bench-fit` says it with 1,000."""
    draws = redrawn_laws(chinchilla(), "huber", chinchilla_law(), 150, seed=0)
    for name, expected in {"A": 124.52, "alpha": 0.01540, "beta": 0.02060}.items():
        assert np.std(getattr(draws, name), ddof=1) == pytest.approx(expected, rel=0.2)


def test_fifteen_tiny_runs_cannot_say_the_floor() -> None:
    fit = fit_of(replace(read(published(TINY)), entropy=2.4704), QUICK)
    floor = fit.parametric["squared"].estimates["E"]
    assert pytest.approx(1.23, abs=0.01) == fit.parametric["squared"].law.E
    assert floor.value is None
    assert floor.refusal.kind == "not identifiable"
    assert floor.high - floor.low > 1
    assert not any("entropy" in reason for run in fit.outliers for reason in run.reasons)
