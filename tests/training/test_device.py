"""Devices, batches, rates, optimizers: two processes make the updates of one; what is not there is refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainings import FAMILY, MODEL, trainer, variant

from miscope.core import MiscopeError, Recipe
from miscope.training.batches import Batches
from miscope.training.device import device_for
from miscope.training.loop import train
from miscope.training.optimization import learning_rate
from miscope.workspace.files import Folder


def in_two_processes(code: str, folder: Path) -> None:
    (folder / "process.py").write_text("import torch\ntorch.set_num_threads(1)\n" + code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "process.py"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


FORTY_UPDATES = """
import json
from pathlib import Path
from trainings import trainer, variant

run = trainer(variant())
for _ in range(40):
    run.advance()
ended = run.models[0].evaluate(40)
if run.device.writes:
    Path("ended.json").write_text(json.dumps(ended.numbers() | {"world": run.device.world}))
"""


def test_two_processes_agree_with_one_over_forty_updates(tmp_path: Path) -> None:
    in_two_processes(FORTY_UPDATES, tmp_path)
    together = json.loads((tmp_path / "ended.json").read_text())
    assert together["world"] == 2
    alone = trainer(variant())
    for _ in range(40):
        alone.advance()
    expected = alone.models[0].evaluate(40)
    assert together["train_loss"] == pytest.approx(expected.train_loss, rel=1e-6)
    assert together["test_loss"] == pytest.approx(expected.test_loss, rel=1e-6)


WHOLE = """
from dataclasses import replace
from pathlib import Path
from trainings import variant
from miscope.core import Adaptive
from miscope.training.loop import train
from miscope.workspace.files import Folder

train(replace(variant(0, 30, 60, eval_every=5), adaptive=Adaptive(4, "train_loss")), Folder(Path("two")))
"""


def test_two_processes_write_one_whole_training_and_go_on_from_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "two")
    for updates in (range(61, 200), range(1)):  # the second time nothing is left to do
        in_two_processes(WHOLE, tmp_path)
        record = json.loads(folder.record.read_text())
        assert record["device"]["processes"] == 2
        assert record["this_time"]["updates"] in updates
    kept = folder.checkpoint_steps()
    assert len(kept) > 3
    with pytest.raises(MiscopeError, match="`tiny` was begun by 2 processes, and this call has 1"):
        train(variant(0, 60), folder)
    assert folder.checkpoint_steps() == kept


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_asked_for_where_there_is_none_is_refused() -> None:
    with pytest.raises(MiscopeError, match="`device` = 'cuda', but torch finds no GPU here; allowed here: cpu, auto"):
        device_for(replace(Recipe(steps=1), device="cuda"))


def test_bfloat16_says_in_the_record_what_it_costs(tmp_path: Path) -> None:
    record = train(variant(0, 40, precision="bfloat16"), Folder(tmp_path / "v"))
    assert "bfloat16" in record["warning"]
    assert "warning" not in train(variant(0, 40), Folder(tmp_path / "w"))


def test_micro_batches_make_the_update_of_the_whole_batch() -> None:
    whole, parts = (trainer(variant(accumulate=n)) for n in (1, 4))
    for _ in range(10):
        assert parts.advance().item() == pytest.approx(whole.advance().item(), rel=1e-6)


def test_an_epoch_of_minibatches_sees_each_example_at_most_once() -> None:
    recipe = variant(batch_size=16).recipe
    batches = Batches(FAMILY, 1, recipe, MODEL, device_for(recipe))
    n = len(FAMILY.split(1).train)
    seen = [tuple(row) for step in range(n // 16) for batch in batches.at(step)[0] for row in batch.tokens.tolist()]
    assert len(seen) == len(set(seen)) == 16 * (n // 16)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine() -> None:
    recipe = replace(Recipe(steps=100), learning_rate=1.0, schedule="cosine", warmup_steps=9)
    assert learning_rate(recipe, 0) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(recipe, 50) == pytest.approx(0.5)
    assert learning_rate(recipe, 99) < 1e-3
    assert learning_rate(Recipe(steps=100), 57) == 1e-3


def test_an_optimizer_of_torchs_takes_its_own_settings() -> None:
    (optimizer,) = trainer(variant(optimizer={"_target_": "torch.optim.RMSprop", "alpha": 0.5})).optimizers
    assert isinstance(optimizer, torch.optim.RMSprop)
    assert optimizer.param_groups[0]["alpha"] == 0.5
    assert optimizer.param_groups[0]["lr"] == variant().recipe.learning_rate
    with pytest.raises(MiscopeError, match="no_such"):
        trainer(variant(optimizer={"_target_": "torch.optim.RMSprop", "no_such": 1}))


@pytest.mark.parametrize("name", ["adamax", "torch.optim.Nothing", "torch.nn.Linear"])
def test_an_unknown_optimizer_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(MiscopeError, match=f"`optimizer` = '{name}'") as caught:
        trainer(variant(optimizer=name))
    assert "\n" not in str(caught.value)
