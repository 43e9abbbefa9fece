"""Intervals hold the truth, refusals stand where there is none, and a study says all of it in plain data."""

import json
from dataclasses import replace

import numpy as np
import published
import pytest
from drawn_runs import TRUE, drawn

from miscope.core import MiscopeError
from miscope.scaling import bootstrap, laws
from miscope.scaling.parametric import Points, fitted
from miscope.scaling.results import read
from miscope.scaling.settings import Settings

QUICK = Settings(methods=("squared",), draws=60)


@pytest.fixture(scope="module")
def study() -> dict:
    return laws.study(drawn(0.003), QUICK)


def test_intervals_hold_the_law_that_made_the_runs(study: dict) -> None:
    estimates = study["parametric"]["squared"]["estimates"]
    for name in ("E", "alpha", "beta"):
        assert estimates[name]["low"] < getattr(TRUE, name) < estimates[name]["high"]
    assert estimates["a"]["low"] < TRUE.exponent < estimates["a"]["high"]
    asked = study["parametric"]["squared"]["targets"][0]
    assert asked["budget"] == pytest.approx(1e22)
    assert asked["parameters"]["low"] < TRUE.best_parameters(1e22) < asked["parameters"]["high"]
    assert asked["tokens"]["low"] < TRUE.best_tokens(1e22) < asked["tokens"]["high"]
    ratio = TRUE.best_tokens(1e22) / TRUE.best_parameters(1e22)
    assert asked["tokens_per_parameter"]["low"] < ratio < asked["tokens_per_parameter"]["high"]
    wider = asked["predicted_loss"]["high"] - asked["predicted_loss"]["low"]
    assert wider > asked["loss"]["high"] - asked["loss"]["low"]


def test_most_intervals_hold_the_truth() -> None:
    hits = 0
    for seed in range(12):
        runs = drawn(0.003, seed)
        points = Points(runs.parameters, runs.tokens, runs.loss, floor=1.8)
        law = fitted(points, "squared")
        draws = bootstrap.redrawn_laws(points, "squared", law, 40, seed)
        found = bootstrap.exponent(float(law.exponent), np.asarray(draws.exponent))
        hits += found.low <= TRUE.exponent <= found.high
    assert hits >= 9  # 11 are expected


def test_the_same_runs_and_settings_give_the_same_fit_and_another_seed_another(study: dict) -> None:
    again = laws.study(drawn(0.003), QUICK)
    assert json.dumps(again, sort_keys=True, allow_nan=False) == json.dumps(study, sort_keys=True)
    other = laws.study(drawn(0.003), replace(QUICK, seed=1))
    assert other["parametric"]["squared"]["law"] == study["parametric"]["squared"]["law"]
    assert other["parametric"]["squared"]["estimates"] != study["parametric"]["squared"]["estimates"]


def test_every_answer_is_a_number_or_a_refusal(study: dict) -> None:
    refused = laws.study(drawn(0.05, n_budgets=2), QUICK)
    for found in (study, refused):
        estimates = [e for fit in found["parametric"].values() for e in fit["estimates"].values()]
        estimates += [fit["a"] for fit in found["isoflop"].values()]
        assert all((e["value"] is None) == (e["refusal"] is not None) for e in estimates)
    assert refused["isoflop"]["parabola"]["a"]["refusal"]["kind"] == "too few budgets"
    assert refused["parametric"]["squared"]["estimates"]["E"]["refusal"]["kind"] == "not identifiable"


def test_too_few_runs_are_refused_whole() -> None:
    runs = drawn(0.0, n_budgets=1)
    few = replace(runs, ids=runs.ids[:4], **{
        name: getattr(runs, name)[:4] for name in ("parameters", "tokens", "budget", "loss", "runs")
    })  # fmt: skip
    found = laws.study(few, QUICK)
    assert found["refusal"]["kind"] == "too few points"
    assert found["parametric"] == {}


def test_the_methods_are_laid_side_by_side_with_the_bias_of_isoflop(study: dict) -> None:
    assert set(study["disagreement"]["a"]) == {"squared", "IsoFLOP, parabola", "IsoFLOP, akima"}
    assert "differ by a factor" in study["disagreement"]["sentence"]
    bias = study["bias"]["parabola"]
    assert bias["targets"][0]["ratio"] != pytest.approx(1, abs=0.005)
    assert bias["a_of_law"] == study["parametric"]["squared"]["law"]["beta"] / (
        study["parametric"]["squared"]["law"]["alpha"] + study["parametric"]["squared"]["law"]["beta"]
    )


def test_an_outlier_is_listed_with_its_reason_and_fitted_with_and_without() -> None:
    runs = drawn(0.002)
    runs.loss[3] *= 1.2
    found = laws.study(runs, QUICK)
    listed = {row["id"]: row["reasons"] for row in found["outliers"]}
    assert "above the law" in listed["r3"][0]
    with_it, without = found["sensitivity"][0], found["sensitivity"][-1]
    assert (with_it["n"], without["n"]) == (28, 28 - len(listed))
    assert abs(without["law"]["alpha"] - TRUE.alpha) < abs(with_it["law"]["alpha"] - TRUE.alpha)


def test_what_the_settings_leave_out_is_told_and_fitted_again_with_it() -> None:
    runs = drawn(0.002)
    runs.loss[5] = np.nan
    found = laws.study(runs, replace(QUICK, exclude={"r3": "the disk was full"}))
    assert {row["id"]: row["by"] for row in found["set_aside"]} == {"r3": "settings", "r5": "fit"}
    assert [row["n"] for row in found["sensitivity"][:2]] == [26, 27]
    with pytest.raises(MiscopeError, match="no run of that id"):
        laws.study(runs, replace(QUICK, exclude={"r99": "?"}))


def test_a_known_floor_is_pinned_beside_the_free_fit_and_a_loss_below_it_is_listed() -> None:
    runs = drawn(0.003, entropy=1.8)
    runs.loss[0] = 1.7
    found = laws.study(runs, QUICK)
    assert found["headline"] == "squared, E known"
    assert found["parametric"]["squared, E known"]["law"]["E"] == 1.8
    assert any("below the source's entropy" in reason for row in found["outliers"] for reason in row["reasons"])


def test_the_law_is_asked_for_runs_that_it_has_not_seen(study: dict) -> None:
    assert study["held_out"]["n"] == 7
    assert study["held_out"]["mean_absolute_relative_error"] < 0.02


def test_the_checklist_answers_or_says_that_nothing_was_recorded(study: dict) -> None:
    answers = {row["question"]: row["answer"] for row in study["checklist"]}
    assert answers["How is N counted?"] == "all but embeddings"
    assert answers["Which model?"] == "Toy"
    assert answers["Which schedule?"] is None
    assert "60 bootstraps" in answers["How are intervals made?"]


@pytest.mark.parametrize(
    "wrong", [{"methods": ("hubert",)}, {"methods": ()}, {"draws": 3}, {"targets": (0.0,)}], ids=str
)
def test_wrong_settings_are_one_line(wrong: dict) -> None:
    with pytest.raises(MiscopeError, match="allowed"):
        Settings(**wrong)


# ---------------------------------------------------------------- published


def test_the_standard_errors_of_the_replication_are_repeated() -> None:
    """With 150 draws, within their own scatter; `make bench-fit` says it with 1,000."""
    points, law = published.chinchilla(), published.chinchilla_law()
    draws = bootstrap.redrawn_laws(points, "huber", law, 150, seed=0)
    for name, expected in {"A": 124.52, "alpha": 0.01540, "beta": 0.02060}.items():
        assert np.std(getattr(draws, name), ddof=1) == pytest.approx(expected, rel=0.2)


def test_fifteen_tiny_runs_cannot_say_the_floor() -> None:
    runs = read(published.path("tiny_cpu_isoflop_sweep_markov2_entropy2.4704.csv"))
    found = laws.study(replace(runs, entropy=2.4704), QUICK)
    floor = found["parametric"]["squared"]["estimates"]["E"]
    assert found["parametric"]["squared"]["law"]["E"] == pytest.approx(1.23, abs=0.01)
    assert floor["value"] is None
    assert floor["refusal"]["kind"] == "not identifiable"
    assert floor["high"] - floor["low"] > 1
    assert found["outliers"] == [] or all("entropy" not in r for row in found["outliers"] for r in row["reasons"])
