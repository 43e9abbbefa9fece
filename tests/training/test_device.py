"""Devices: two processes make the updates of one; what is not there is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from miscope.core import MiscopeError, Recipe, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.device import device_for
from miscope.training.loop import train
from miscope.training.optimization import learning_rate
from miscope.training.trainer import lone
from miscope.workspace import files

FAMILY = ModuloAddition(13, 0.5)
MODEL = replace(FAMILY.model(), d_model=32, n_heads=2, d_head=16, d_mlp=64)


def variant(**recipe: object) -> Variant:
    return Variant("tiny", "modulo_addition", FAMILY, 1, 1, MODEL, replace(Recipe(steps=40), **recipe), (0, 40))


PROCESS = """
import json
from dataclasses import replace
from pathlib import Path
import torch
from miscope.core import Recipe, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.device import device_for
from miscope.training.trainer import lone

torch.set_num_threads(1)
family = ModuloAddition(13, 0.5)
model = replace(family.model(), d_model=32, n_heads=2, d_head=16, d_mlp=64)
variant = Variant("tiny", "modulo_addition", family, 1, 1, model, Recipe(steps=40), (0, 40))
run = lone(variant, device_for(variant.recipe))
for _ in range(40):
    run.advance()
ended = run.models[0].evaluate(run.step)
if run.device.writes:
    losses = {"train": ended.train_loss, "test": ended.test_loss}
    Path("losses.json").write_text(json.dumps(losses | {"world": run.device.world}))
"""


def test_two_processes_agree_with_one_over_forty_updates(tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text(PROCESS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "process.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "losses.json").read_text())
    assert found["world"] == 2
    alone = lone(variant(), device_for(variant().recipe))
    for _ in range(40):
        alone.advance()
    expected = alone.evaluate()
    assert found["train"] == pytest.approx(expected.train_loss, rel=1e-6)
    assert found["test"] == pytest.approx(expected.test_loss, rel=1e-6)


WHOLE = """
from dataclasses import replace
from pathlib import Path
import torch
from miscope import store
from miscope.core import Adaptive, Recipe, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.loop import train

torch.set_num_threads(1)
family = ModuloAddition(13, 0.5)
model = replace(family.model(), d_model=32, n_heads=2, d_head=16, d_mlp=64)
recipe = Recipe(steps=60, eval_every=5, resume_points=3)
variant = Variant("tiny", "modulo_addition", family, 1, 1, model, recipe, (0, 30, 60), Adaptive(4, "train_loss"))
train(variant, files.Folder(Path("two")))
"""


def test_two_processes_write_one_whole_training_and_go_on_from_it(tmp_path: Path) -> None:
    (tmp_path / "whole.py").write_text(WHOLE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "whole.py"]
    folder = files.Folder(tmp_path / "two")
    for updates in (range(61, 200), range(1)):  # the second time nothing is left to do
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
        record = json.loads(folder.record.read_text())
        assert record["device"]["processes"] == 2
        assert record["this_time"]["updates"] in updates
    assert len(folder.checkpoint_steps()) > 3
    kept = {path.name for path in (folder.path / "checkpoints").iterdir()}
    alone = replace(variant(), recipe=Recipe(steps=60), checkpoint_steps=(0, 60))
    with pytest.raises(MiscopeError, match="`tiny` was begun by 2 processes, and this call has 1"):
        train(alone, folder)
    assert {path.name for path in (folder.path / "checkpoints").iterdir()} == kept


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_asked_for_where_there_is_none_is_refused() -> None:
    with pytest.raises(MiscopeError, match="`device` = 'cuda', but torch finds no GPU here; allowed here: cpu, auto"):
        device_for(replace(Recipe(steps=1), device="cuda"))


def test_bfloat16_says_in_the_record_what_it_costs(tmp_path: Path) -> None:
    record = train(variant(precision="bfloat16"), files.Folder(tmp_path / "v"))
    assert "bfloat16" in record["warning"]
    assert "warning" not in train(variant(), files.Folder(tmp_path / "w"))


def test_micro_batches_make_the_update_of_the_whole_batch() -> None:
    whole, parts = (lone(variant(accumulate=n), device_for(variant().recipe)) for n in (1, 4))
    for _ in range(10):
        assert parts.advance().item() == pytest.approx(whole.advance().item(), rel=1e-6)


def test_an_epoch_of_minibatches_sees_each_example_at_most_once() -> None:
    run = lone(variant(batch_size=16), device_for(variant().recipe))
    n = len(run.batches.split.train)
    seen = [tuple(row) for step in range(n // 16) for batch in run.batches.at(step)[0] for row in batch.tokens.tolist()]
    assert len(seen) == len(set(seen)) == 16 * (n // 16)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine() -> None:
    recipe = replace(Recipe(steps=100), learning_rate=1.0, schedule="cosine", warmup_steps=9)
    assert learning_rate(recipe, 0) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(recipe, 50) == pytest.approx(0.5)
    assert learning_rate(recipe, 99) < 1e-3
    assert learning_rate(Recipe(steps=100), 57) == 1e-3


def test_an_optimizer_of_torchs_takes_its_own_settings() -> None:
    run = lone(variant(optimizer={"_target_": "torch.optim.RMSprop", "alpha": 0.5}), device_for(variant().recipe))
    assert isinstance(run.optimizer, torch.optim.RMSprop)
    assert run.optimizer.param_groups[0]["alpha"] == 0.5
    assert run.optimizer.param_groups[0]["lr"] == variant().recipe.learning_rate
    with pytest.raises(MiscopeError, match="no_such"):
        lone(variant(optimizer={"_target_": "torch.optim.RMSprop", "no_such": 1}), device_for(variant().recipe))


@pytest.mark.parametrize("name", ["adamax", "torch.optim.Nothing", "torch.nn.Linear"])
def test_an_unknown_optimizer_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(MiscopeError, match=f"`optimizer` = '{name}'") as caught:
        lone(variant(optimizer=name), device_for(variant().recipe))
    assert "\n" not in str(caught.value)
