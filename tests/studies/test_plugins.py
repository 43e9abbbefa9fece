"""Models, datasets and losses by name and by path: what is taken, and the one line that each mistake gets."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import own_plugins
import pytest
import torch

from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.scaling import plugins
from miscope.scaling.datasets.markov import Markov
from miscope.scaling.models.gpt import GPT
from miscope.scaling.protocols import ScalableLoss, ScalableModel, source
from miscope.training.device import Device

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


MISTAKES = {
    "a misspelt name": ("model", "gtp", "There is no model for `model` called `gtp`. Did you mean `gpt`?"),
    "neither name nor path": ("loss", {"reduction": "sum"}, "must be one of cross_entropy,"),
    "a path that leads nowhere": ("model", {"_target_": "own_plugins.Nt"}, "'own_plugins.Nt' cannot be loaded"),
    "an unknown setting": ("model", {"name": "gpt", "n_layer": 2}, "called `n_layer`. Did you mean `n_layers`?"),
    "a setting out of range": ("dataset", {"name": "markov", "vocabulary": 2}, "`vocabulary` = 2; allowed: 4 to 256"),
    "a program": ("loss", {"_target_": "os.system", "command": "true"}, "blocklisted"),
    "no module": ("model", {"_target_": "own_plugins.NoBuild"}, "NoBuild`: it is NoBuild, no torch.nn.Module"),
    "no forward": ("model", {"_target_": "own_plugins.NoForward"}, "NoForward`: it lacks the method `forward`"),
    "a count that is a number": ("model", {"_target_": "own_plugins.CountIsANumber"}, "lacks the method `num_params`"),
    "no optimizer": (
        "model",
        {"_target_": "own_plugins.NoOptimizer", "in_features": 4, "out_features": 1},
        "it lacks the method `configure_optimizers`",
    ),
    "half an optimizer": ("model", {"_target_": "own_plugins.HalfAnOptimizer"}, "leaves out layers.3.weight"),
    "no build": ("dataset", {"_target_": "own_plugins.NoBuild"}, "`own_plugins.NoBuild`: it lacks the method `build`"),
    "too few rows": ("dataset", {"_target_": "own_plugins.OneRow"}, "two examples were asked for, and a batch of 1"),
    "other data": ("dataset", "digits", "`forward` fails on two examples: KeyError: 'x'"),
    "a loss per example": ("loss", {"_target_": "own_plugins.PerExample"}, "it gives shape (2,); allowed: one number"),
    "no number": ("loss", {"_target_": "own_plugins.NotANumber"}, "NotANumber`: it gives nan on two examples"),
    "a module as a loss": ("loss", {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}, "`call`"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_plugin_is_refused_in_one_line_that_names_it(mistake: str) -> None:
    kind, spec, message = MISTAKES[mistake]
    good = {kind: path if kind == "loss" else {"_target_": path} for kind, path in PATHS.items()}
    with pytest.raises(MiscopeError, match=re.escape(message)) as caught:
        looked_at(**good | {kind: spec})
    assert "\n" not in str(caught.value)


def test_the_protocols_alone_would_pass_what_the_check_refuses() -> None:
    assert isinstance(own_plugins.CountIsANumber(), ScalableModel)
    assert isinstance(torch.nn.Linear(1, 1), ScalableLoss)


def test_the_protocols_import_without_hydra() -> None:
    code = "import sys, miscope.scaling.protocols; sys.exit('hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_gpt_is_our_transformer_with_its_parameters_and_its_logits() -> None:
    torch.manual_seed(3)
    gpt = GPT(n_layers=2, d_model=16, d_vocab=10, n_ctx=8)
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
