"""Studies, their plugins and their plans: what params.yaml may say, what follows, and what each mistake gets."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import own_plugins
import pytest
import torch
import workspace
from ruamel.yaml import YAML

from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.scaling import plugins
from miscope.scaling import study as studies
from miscope.scaling.datasets.markov import Markov
from miscope.scaling.documents import Plan
from miscope.scaling.models.gpt import GPT as OurGPT
from miscope.scaling.protocols import ScalableLoss, ScalableModel, source
from miscope.scaling.study import Grid, Rate, Study, load, study
from miscope.training.device import Device

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


def test_a_budget_buys_c_over_6_n_tokens_to_within_a_batch_or_by_the_exact_count() -> None:
    for point in planned(GPT).points:
        assert abs(point.tokens - point.budget / (6 * point.parameters)) <= 16 * 16
        assert point.tokens == point.steps * 16 * 16
        assert point.flops_6nd == 6 * point.parameters * point.tokens
        assert point.flops_counted > point.flops_6nd  # attention scores are no parameters
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
    assert "1 points coincide with others; 1 are left." in notes
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
    assert re.match(r"Expected time on this machine: \d+\.\d\d h", last)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"budget": [1e9]}, "`scaling.tiny`: `budget` is unknown. Did you mean `budgets`?"),
    "no list": ({"budgets": 1e9}, "`scaling.tiny.budgets` = 1000000000.0 must be a list of numbers above 0"),
    "a negative size": ({"sizes": [-1]}, "`scaling.tiny.sizes` = [-1] must be a list of numbers above 0"),
    "half a grid": ({"sizes": {"around": 100}}, "`scaling.tiny.sizes` has no `at`, `per_budget`"),
    "a method that is none": ({"fit": {"methods": ["hubert"]}}, "fit.methods[0]` = 'hubert'; allowed: huber"),
    "an unknown setting of the fit": ({"fit": {"drawz": 50}}, "`scaling.tiny.fit`: `drawz` is unknown"),
    "an unknown key of the grid": ({"sizes": {"middle": 1}}, "`scaling.tiny.sizes`: `middle` is unknown"),
    "a rate without a rate": ({"learning_rate": {"at": 3}}, "`scaling.tiny.learning_rate` has no `rate`"),
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
    with pytest.raises(MiscopeError, match=r"`scaling.tiny` has no `budgets`"):
        study("tiny", {key: value for key, value in GPT.items() if key != "budgets"})
    (tmp_path / "params.yaml").write_text("scaling:\n  one: {model: gpt}\n")
    with pytest.raises(MiscopeError, match=r"declares no scaling study `two`; it declares: one\."):
        load(tmp_path, "two")


def test_the_shipped_study_is_fifteen_runs_over_three_budgets() -> None:
    shipped = study("markov", yaml((workspace.REPOSITORY / "params.yaml").read_text())["scaling"]["markov"])
    assert isinstance(shipped.sizes, Grid)
    assert (len(shipped.budgets), shipped.sizes.per_budget, len(shipped.seeds)) == (3, 5, 1)


DOCS = (workspace.REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_every_key_of_a_study_is_in_the_table() -> None:
    rows = [line for line in DOCS.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert {f.name for f in fields(Study)} - {"name"} <= named


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


DATA_OF = {"cnn": "digits", "vit": "digits"}
SIZE_OF: dict[str, dict[str, Any]] = {
    "gpt": {"n_layers": 2, "d_model": 16}, "cnn": {"channels": 4}, "vit": {"d_model": 16}
}  # fmt: skip


def looked_at(model: Any, dataset: Any, loss: Any = "cross_entropy", **size: Any) -> plugins.Sized:
    data = plugins.probed(plugins.plugin("dataset", dataset, "dataset"))
    chosen = plugins.plugin("model", model, "model").sized(size)
    return plugins.sized(chosen, plugins.plugin("loss", loss, "loss"), data)


@pytest.mark.parametrize("name", plugins.groups("model"))
def test_every_shipped_model_trains_on_its_data(name: str) -> None:
    more = {"model": {"_target_": "own_plugins.Logits", "width": 4}} if name == "module" else {}
    model = looked_at({"name": name, **more}, DATA_OF.get(name, "markov"), **SIZE_OF.get(name, {}))
    assert 0 < model.parameters <= model.parameters_total


@pytest.mark.parametrize("name", plugins.groups("dataset"))
def test_every_shipped_dataset_gives_the_same_batch_for_the_same_step(name: str) -> None:
    more = {"family": "induction_heads"} if name == "family" else {}
    chosen = plugins.plugin("dataset", {"name": name, **more}, "dataset")
    one, two = (source(chosen.make().build("train")) for _ in range(2))
    two.batch(0, 0, 3)
    for key, value in one.batch(0, 70, 3).items():
        assert torch.equal(value, two.batch(0, 70, 3)[key])
        assert not torch.equal(value, two.batch(0, 71, 3)[key]) or key == "labels"
    assert plugins.probed(chosen).tokens_per_example > 0


LOSSES = {"cross_entropy": np.log(10), "squared_error": 5 / 3}


@pytest.mark.parametrize("name", plugins.groups("loss"))
def test_every_shipped_loss_is_one_number(name: str) -> None:
    loss = plugins.plugin("loss", name, "loss").make()
    output = torch.zeros(3, 1) if name == "squared_error" else torch.zeros(3, 10)
    value = loss(output, {"labels": torch.tensor([0, 1, 2])})
    assert value.item() == pytest.approx(LOSSES.get(name, value.item()))
    assert 0 < value.item() < 10


PATHS = {"model": "own_plugins.Net", "dataset": "own_plugins.Plane", "loss": "squared_error"}


def test_a_plugin_by_its_dotted_path_with_settings_is_taken() -> None:
    model = looked_at({"_target_": PATHS["model"], "width": 16}, {"_target_": PATHS["dataset"]}, "squared_error")
    assert model.parameters == model.parameters_total == 4 * 16 + 16 + 16 + 1
    assert model.flops_per_token == 100.0  # its own estimate, where it has one


NO_PLUGINS = {
    "a misspelt name": ("model", "gtp", "There is no model for `model` called `gtp`. Did you mean `gpt`?"),
    "neither name nor path": ("loss", {"reduction": "sum"}, "must be one of cross_entropy,"),
    "a path that leads nowhere": ("model", {"_target_": "own_plugins.Nt"}, "'own_plugins.Nt' cannot be loaded"),
    "an unknown setting": ("model", {"name": "gpt", "n_layer": 2}, "called `n_layer`. Did you mean `n_layers`?"),
    "a setting out of range": ("dataset", {"name": "markov", "vocabulary": 2}, "`vocabulary` = 2; allowed: 4 to 256"),
    "a program": ("loss", {"_target_": "os.system", "command": "true"}, "blocklisted"),
    "no module": ("model", {"_target_": "own_plugins.Plane"}, "Plane`: it is Plane, no torch.nn.Module"),
    "no forward": ("model", {"_target_": "torch.nn.Module"}, "The model `torch.nn.Module`: it lacks the method `forwa"),
    "a count that is a number": ("model", {"_target_": "own_plugins.CountIsANumber"}, "lacks the method `num_params`"),
    "no optimizer": ("model", {"_target_": "torch.nn.Identity"}, "methods `num_params`, `configure_optimizers`"),
    "half an optimizer": ("model", {"_target_": "own_plugins.HalfAnOptimizer"}, "leaves out layers.3.weight"),
    "no build": ("dataset", {"_target_": "own_plugins.Net"}, "it lacks the methods `build`, `token_count`"),
    "too few rows": ("dataset", {"_target_": "own_plugins.OneRow"}, "two examples were requested; a batch of 1"),
    "other data": ("dataset", "digits", "`forward` fails on two examples: KeyError: 'x'"),
    "a loss per example": ("loss", {"_target_": "own_plugins.PerExample"}, "it gives shape (2,); allowed: one number"),
    "no number": ("loss", {"_target_": "own_plugins.NotANumber"}, "NotANumber`: it gives nan on two examples"),
    "a module as a loss": ("loss", {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}, "`call`"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", NO_PLUGINS)
def test_what_is_no_plugin_is_refused_in_one_line_that_names_it(mistake: str) -> None:
    kind, spec, message = NO_PLUGINS[mistake]
    good = {kind: path if kind == "loss" else {"_target_": path} for kind, path in PATHS.items()}
    with pytest.raises(MiscopeError, match=re.escape(message)) as caught:
        looked_at(**good | {kind: spec})
    assert "\n" not in str(caught.value)


def test_the_protocols_alone_would_pass_what_the_check_refuses_and_they_import_without_hydra() -> None:
    assert isinstance(own_plugins.CountIsANumber(), ScalableModel)
    assert isinstance(torch.nn.Linear(1, 1), ScalableLoss)
    code = "import sys, miscope.scaling.protocols; sys.exit('hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_gpt_is_our_transformer_with_its_parameters_and_its_logits() -> None:
    torch.manual_seed(3)
    gpt = OurGPT(n_layers=2, d_model=16, d_vocab=10, n_ctx=8)
    alone = Transformer(gpt.core.config)
    alone.load_state_dict(gpt.core.state_dict())
    tokens = torch.randint(10, (3, 8))
    assert torch.equal(gpt({"input_ids": tokens}), alone(tokens))
    total = sum(p.numel() for p in alone.parameters())
    assert gpt.num_params(non_embedding=False) == total
    assert gpt.num_params() == total - 10 * 16 - 8 * 16


@pytest.mark.parametrize(("name", "least"), [("gpt", 2_000), ("cnn", 2_000), ("vit", 5_000)])
def test_size_configs_come_within_five_percent_of_their_targets(name: str, least: float) -> None:
    chosen = plugins.plugin("model", name, "model")
    targets = [least * 3**i for i in range(5)]
    for target, size in zip(targets, chosen.located.size_configs(targets, **chosen.settings), strict=True):
        assert chosen.sized(size).make().num_params() == pytest.approx(target, rel=0.05)


def test_the_exact_count_of_flops_is_that_of_every_matmul_three_times() -> None:
    model = looked_at("gpt", "markov", n_layers=2, d_model=16, normalization="none")
    matrices, attention = 64 * 16 + 2 * (4 * 16 * 16 + 2 * 16 * 64), 2 * 2 * 64 * 16
    assert model.flops_per_token == 3 * 2 * (matrices + attention)


def test_the_entropy_of_the_source_is_what_its_words_show() -> None:
    language = Markov(vocabulary=5, length=64, entropy_nats=1.0, rank=4)
    words = language.build("train").batch(0, 0, 2048)
    before, last, following = words["input_ids"][:, :-1], words["input_ids"][:, 1:], words["labels"][:, 1:]
    counts = np.zeros((5, 5, 5))
    np.add.at(counts, tuple(x.flatten().numpy() for x in (before, last, following)), 1)
    chances = counts / counts.sum(axis=2, keepdims=True)
    shown = -(counts * np.log(np.where(counts > 0, chances, 1))).sum() / counts.sum()
    assert shown == pytest.approx(1.0, abs=0.01)
    assert 1.0 < language.entropy() < 1.0 + np.log(5) / 64  # the first position sees one word


def test_batches_are_moved_by_name_and_what_is_no_tensor_is_left_alone() -> None:
    batch = {"x": torch.arange(5), "labels": torch.arange(5.0), "name": ["a"] * 5}
    own = Device(torch.device("cpu"), rank=1, world=2).to_device(batch)
    assert own["x"].tolist() == own["labels"].tolist() == [1, 3]
    assert own["name"] is batch["name"]
    with pytest.raises(MiscopeError, match="fewer rows than the 7 processes"):
        Device(torch.device("cpu"), rank=6, world=7).to_device(batch)


def test_an_epoch_sees_each_example_once_and_the_next_in_another_order() -> None:
    examples = source(own_plugins.Plane(n=10).build("train"))
    seen = torch.cat([examples.batch(1, step, 4)["labels"] for step in range(5)])
    first, second = seen[:10], seen[10:]
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)


def test_an_iterable_goes_on_where_a_resumed_run_left_it_and_says_when_it_ends() -> None:
    examples = source(own_plugins.Examples([{"labels": torch.tensor(i)} for i in range(10)]))
    seen = {step: examples.batch(0, step, 3)["labels"].tolist() for step in (1, 0, 2)}
    assert seen == {1: [3, 4, 5], 0: [0, 1, 2], 2: [6, 7, 8]}
    with pytest.raises(MiscopeError, match="The data end after 10 examples, in update 4"):
        examples.batch(0, 3, 3)
