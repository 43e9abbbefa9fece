"""Studies and plans: what params.yaml may say, which points follow, what is said before anything runs."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import workspace
from ruamel.yaml import YAML

from miscope.core import MiscopeError
from miscope.scaling import study as studies
from miscope.scaling.documents import Plan
from miscope.scaling.study import Grid, Rate, Study, load, study

NET: dict[str, Any] = {
    "model": {"_target_": "own_plugins.Net"}, "dataset": {"_target_": "own_plugins.Plane"}, "loss": "squared_error",
    "budgets": [20_000], "sizes": [{"width": 8}, {"width": 16}], "learning_rate": 0.01, "batch_size": 4,
    "max_epochs": 100,
}  # fmt: skip
GPT: dict[str, Any] = {
    "model": {"name": "gpt", "d_vocab": 8, "n_ctx": 16},
    "dataset": {"name": "markov", "vocabulary": 8, "length": 16, "entropy_nats": 1.2},
    "budgets": [2e8, 5e8], "sizes": [1500, 3000], "learning_rate": {"rate": 0.01, "at": 16},
}  # fmt: skip


yaml = YAML(typ="safe", pure=True).load


def planned(spec: dict[str, Any], **changes: Any) -> Plan:
    return studies.plan(study("tiny", {**spec, **changes}))


def test_a_budget_buys_c_over_6_n_tokens_to_within_a_batch() -> None:
    for point in planned(GPT).points:
        assert abs(point.tokens - point.budget / (6 * point.parameters)) <= 16 * 16
        assert point.tokens == point.steps * 16 * 16
        assert point.flops_6nd == 6 * point.parameters * point.tokens
        assert point.flops_counted > point.flops_6nd  # attention scores are no parameters


def test_a_budget_may_buy_by_the_exact_count_and_the_convention_says_so() -> None:
    plan = planned(NET, flops="counted")
    assert [point.tokens for point in plan.points] == [200, 200]  # at 100 FLOPs a token, as the model says
    assert "every matmul" in plan.convention


def test_a_point_keeps_its_id_when_others_come_or_go_and_loses_it_when_it_changes() -> None:
    ids = {point.id for point in planned(GPT).points}
    grown = planned(GPT, sizes=[1500, 2200, 3000], budgets=[1e8, 2e8, 5e8], seeds=[1, 0])
    assert ids < {point.id for point in grown.points}
    assert len(grown.points) == 3 * 3 * 2
    for changes in ({"weight_decay": 0.2}, {"learning_rate": 0.01}, {"batch_size": 8}, {"seeds": [1]}):
        assert ids.isdisjoint(point.id for point in planned(GPT, **changes).points)
    elsewhere = planned(GPT, device="auto", threads=2, resume_points=1)
    assert ids == {point.id for point in elsewhere.points}


def test_a_grid_moves_with_the_budget_and_the_rate_with_the_width() -> None:
    grid = Grid(per_budget=3, around=100, at=1e6, growth=0.5, span=16)
    assert grid.targets(1e6) == pytest.approx([25, 100, 400])
    assert grid.targets(4e6) == pytest.approx([50, 200, 800])
    rate = Rate(0.01, "width", at=8, power=-0.5)
    assert rate.of({"width": 32}) == pytest.approx(0.005)
    with pytest.raises(MiscopeError, match=r"`learning_rate.width` = 'width' is no number of the model; it has: d_mod"):
        rate.of({"d_model": 32})


def test_what_is_odd_about_a_plan_is_noted() -> None:
    assert planned(GPT).notes == ()
    (missed,) = planned(GPT, sizes=[30], budgets=[1e8]).notes
    assert missed.startswith("30 parameters were asked for; the nearest model has ")
    repeated = planned(NET)
    assert [(point.parameters, point.epochs) for point in repeated.points] == [(49, 1.0625), (97, 0.5625)]  # of 64
    assert repeated.notes[0].startswith("1 of 2 points see data more than once, up to 1.1 times")
    notes = planned(NET, sizes=[{"width": 8}, {"width": 8}]).notes
    assert "1 of 1 points make fewer than 20 updates, down to 17." in notes
    assert "1 sizes fell together with another; 1 points are left." in notes
    endless = planned(NET, dataset={"_target_": "own_plugins.Plane", "form": "iterable"}, max_epochs=1)
    assert [point.epochs for point in endless.points] == [None, None]


REFUSED: dict[str, dict[str, Any]] = {
    r"`own_plugins.Net` has no `size_configs`, so `scaling.tiny.sizes` must be": {"sizes": [100, 200]},
    r"are 1\.1 times the data \(64 tokens\); allowed: scaling.tiny.max_epochs = 1": {"max_epochs": 1},
    "buys 2 tokens for 49 parameters, less than one batch of 4": {"budgets": [500]},
    "`scaling.tiny.keep_checkpoints` is for models whose weights the instruments": {"keep_checkpoints": True},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_trained_is_refused_before_anything_runs(message: str) -> None:
    with pytest.raises(MiscopeError, match=message):
        planned(NET, **REFUSED[message])


def test_the_hours_are_said_before_anything_runs() -> None:
    plan = planned(GPT, budgets=[1e8])
    seconds = studies.expected_seconds(plan)
    assert seconds.keys() == {point.id for point in plan.points}
    assert all(value > 0 for value in seconds.values())
    *_, last = studies.lines_of(plan)
    assert re.match(r"Expected here: \d+\.\d\d h", last)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"budget": [1e9]}, "`scaling.tiny`: `budget` is unknown. Did you mean `budgets`?"),
    "no list": ({"budgets": 1e9}, "`scaling.tiny.budgets` = 1000000000.0 must be a list of numbers above 0"),
    "a negative size": ({"sizes": [-1]}, "`scaling.tiny.sizes` = [-1] must be a list of numbers above 0"),
    "half a grid": ({"sizes": {"around": 100}}, "`scaling.tiny.sizes` says no `at`, `per_budget`"),
    "a method that is none": ({"fit": {"methods": ["hubert"]}}, "fit.methods[0]` = 'hubert'; allowed: huber"),
    "an unknown setting of the fit": ({"fit": {"drawz": 50}}, "`scaling.tiny.fit`: `drawz` is unknown"),
    "an unknown key of the grid": ({"sizes": {"middle": 1}}, "`scaling.tiny.sizes`: `middle` is unknown"),
    "a rate without a rate": ({"learning_rate": {"at": 3}}, "`scaling.tiny.learning_rate` says no `rate`"),
    "a count that is none": ({"flops": "7nd"}, "`scaling.tiny.flops` = '7nd'; allowed: 6nd, counted"),
    "too much warmup": ({"warmup": 2}, "`scaling.tiny.warmup` = 2.0; allowed: 0 to 1"),
    "no seeds": ({"seeds": []}, "`scaling.tiny.seeds` is empty"),
    "a model that is none": ({"model": "gtp"}, "There is no model for `scaling.tiny.model` called `gtp`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_study_is_one_line(mistake: str) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(MiscopeError, match=re.escape(message)) as caught:
        study("tiny", {**GPT, **changes})
    assert "\n" not in str(caught.value)


def test_a_key_that_is_missing_or_a_study_that_is_not_declared_is_named(tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"`scaling.tiny` says no `budgets`"):
        study("tiny", {key: value for key, value in GPT.items() if key != "budgets"})
    (tmp_path / "params.yaml").write_text("scaling:\n  one: {model: gpt}\n")
    with pytest.raises(MiscopeError, match=r"declares no scaling study `two`; it declares: one\."):
        load(tmp_path, "two")


def test_the_shipped_study_is_fifteen_runs_over_three_budgets() -> None:
    shipped = study("markov", yaml((workspace.REPOSITORY / "params.yaml").read_text())["scaling"]["markov"])
    assert isinstance(shipped.sizes, Grid)
    assert (len(shipped.budgets), shipped.sizes.per_budget, len(shipped.seeds)) == (3, 5, 1)


DOCS = (workspace.REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", [f.name for f in fields(Study) if f.name != "name"])
def test_every_key_of_a_study_is_in_the_table(key: str) -> None:
    rows = [line for line in DOCS.splitlines() if line.startswith("| `")]
    assert key in {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_examples_of_the_page_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, dataset = (code for code in re.findall(r"```python\n(.*?)```", DOCS, re.S) if "\nclass " in f"\n{code}")
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "nets.py").write_text(model)
    (tmp_path / "my_lab" / "noise.py").write_text(f"import torch\n{dataset}")
    monkeypatch.syspath_prepend(str(tmp_path))
    (declared,) = (text for text in re.findall(r"```yaml\n(.*?)```", DOCS, re.S) if "my_lab" in text)
    spec = yaml(declared)["scaling"]["mlp"]
    plan = studies.plan(study("mlp", spec, tmp_path))
    assert len(plan.points) == 2 * 3
    assert not [note for note in plan.notes if "were asked for" in note]
    noise = {"dataset": {"_target_": "my_lab.noise.Noise"}, "budgets": [1e8], "max_epochs": 100}
    assert len(studies.plan(study("noise", spec | noise, tmp_path)).points) == 3
