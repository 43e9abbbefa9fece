"""Resume, densify, extend, branch: each ends with the bytes of a run that was asked for all of it from the start."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import workspace

from miscope import keys
from miscope.core import Adaptive, Branch, MiscopeError, Recipe, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.loop import train
from miscope.workspace import configuration, files, store

FAMILY = ModuloAddition(13, 0.5)
MODEL = replace(FAMILY.model(), d_model=32, n_heads=2, d_head=16, d_mlp=64)


def variant(steps: int = 80, checkpoints: tuple[int, ...] = (0, 40, 80), **recipe: object) -> Variant:
    chosen = replace(Recipe(steps=steps, eval_every=10, resume_points=4), **recipe)
    return Variant("tiny", "modulo_addition", FAMILY, 1, 1, MODEL, chosen, checkpoints)


def made(folder: files.Folder) -> dict[str, bytes]:
    """Checkpoints and curve: what every other stage reads."""
    files = sorted((folder.path / "checkpoints").iterdir())
    return {file.name: file.read_bytes() for file in files} | {"curves.csv": folder.curves.read_bytes()}


def test_more_checkpoints_replay_only_the_stretch_they_lie_in(tmp_path: Path) -> None:
    asked_later, asked_at_once = files.Folder(tmp_path / "later"), files.Folder(tmp_path / "once")
    train(variant(), asked_later)
    before = made(asked_later)
    record = train(variant(checkpoints=(0, 40, 45, 55, 80)), asked_later)
    train(variant(checkpoints=(0, 40, 45, 55, 80)), asked_at_once)
    assert made(asked_later) == made(asked_at_once)
    assert all(made(asked_later)[name] == content for name, content in before.items() if name != "curves.csv")
    assert record["this_time"]["updates"] == 15  # from the state kept at 40 to step 55
    assert record["this_time"]["checkpoints"] == 2


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    folder = files.Folder(tmp_path / "v")
    train(variant(), folder)
    assert train(variant(), folder)["this_time"]["updates"] == 0


def test_a_longer_run_goes_on_from_the_end(tmp_path: Path) -> None:
    grown, whole = files.Folder(tmp_path / "grown"), files.Folder(tmp_path / "whole")
    train(variant(), grown)
    record = train(variant(steps=120, checkpoints=(0, 40, 80, 120)), grown)
    train(variant(steps=120, checkpoints=(0, 40, 80, 120)), whole)
    assert made(grown) == made(whole)
    assert record["this_time"]["updates"] == 40


def test_fewer_checkpoints_leave_no_orphans(tmp_path: Path) -> None:
    folder = files.Folder(tmp_path / "v")
    train(variant(checkpoints=(0, 10, 40, 80)), folder)
    train(variant(), folder)
    assert folder.checkpoint_steps() == (0, 40, 80)


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 2e-3},
        {"weight_decay": 0.5},
        {"optimizer": "adam"},
        {"schedule": "cosine"},
        {"warmup_steps": 5},
    ],
)
def test_another_recipe_is_another_training(changed: dict[str, object], tmp_path: Path) -> None:
    folder, fresh = files.Folder(tmp_path / "v"), files.Folder(tmp_path / "fresh")
    train(variant(), folder)
    record = train(variant(**changed), folder)
    train(variant(**changed), fresh)
    assert record["this_time"]["updates"] == 80
    assert made(folder) == made(fresh)


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "torch.optim.RMSprop"},
        {"batch_size": 16},
        {"accumulate": 3},
        {"schedule": "cosine", "warmup_steps": 10},
    ],
)
def test_every_recipe_resumes_to_the_same_bytes(recipe: dict[str, object], tmp_path: Path) -> None:
    stopped, whole = files.Folder(tmp_path / "stopped"), files.Folder(tmp_path / "whole")
    train(variant(**recipe), whole)
    train(variant(**recipe), stopped)
    for path in (stopped.checkpoint(80), stopped.resume(80), stopped.resume(60), stopped.resume_curve):
        path.unlink()
    train(variant(**recipe), stopped)
    assert made(stopped) == made(whole)


def test_a_damaged_checkpoint_or_state_is_made_again(tmp_path: Path) -> None:
    folder = files.Folder(tmp_path / "v")
    train(variant(), folder)
    before = made(folder)
    for path in (folder.checkpoint(40), folder.resume(40), folder.resume_curve):
        path.write_bytes(path.read_bytes()[:-20])
    train(variant(), folder)
    assert made(folder) == before


def test_a_checkpoint_or_a_state_of_another_architecture_is_made_again(tmp_path: Path) -> None:
    folder, other = files.Folder(tmp_path / "v"), files.Folder(tmp_path / "other")
    train(variant(), folder)
    before = made(folder)
    train(replace(variant(), model=replace(MODEL, d_mlp=32)), other)
    folder.checkpoint(40).write_bytes(other.checkpoint(40).read_bytes())
    folder.resume(40).write_bytes(other.resume(40).read_bytes())
    train(variant(), folder)
    assert made(folder) == before


def test_a_branch_is_its_parent_up_to_where_it_departs_and_reuses_its_states(tmp_path: Path) -> None:
    parent, child = files.folder_of(tmp_path, "parent"), files.folder_of(tmp_path, "child")
    train(replace(variant(), name="parent"), parent)
    departs = Branch("parent", 40, FAMILY, 1, replace(variant().recipe, weight_decay=0.0, learning_rate=5e-3))
    record = train(replace(variant(checkpoints=(0, 20, 40, 60, 80)), name="child", branch=departs), child)
    alone = files.folder_of(tmp_path / "alone", "child")
    train(replace(variant(checkpoints=(0, 20, 40, 60, 80)), name="child", branch=departs), alone)
    assert made(child) == made(alone)
    for step in (0, 40):
        left, right = (store.load_checkpoint(folder.checkpoint(step)) for folder in (parent, child))
        assert keys.digest_of_arrays(left.weights) == keys.digest_of_arrays(right.weights)
    assert store.weights_digest(parent.checkpoint(80)) != store.weights_digest(child.checkpoint(80))
    assert record["branch"]["parent"] == "parent"
    assert record["branch"]["at"] == 40


def test_adaptive_checkpoints_are_the_same_for_the_same_run_and_where_the_metric_moves(tmp_path: Path) -> None:
    one, two = files.Folder(tmp_path / "one"), files.Folder(tmp_path / "two")
    asked = replace(variant(steps=200, checkpoints=(0, 200), eval_every=5), adaptive=Adaptive(6, "train_loss"))
    train(asked, one)
    train(asked, two)
    assert made(one) == made(two)
    chosen = [step for step in one.checkpoint_steps() if step not in (0, 200)]
    assert 3 <= len(chosen) <= 6
    assert train(asked, one)["this_time"]["updates"] == 0


def test_weights_that_stand_still_are_an_error_that_names_the_step(tmp_path: Path) -> None:
    still = variant(learning_rate=0.0, weight_decay=0.0)
    with pytest.raises(MiscopeError, match="at step 40 equal those at step 0: updates move nothing"):
        train(still, files.Folder(tmp_path / "v"))


def test_a_full_disk_loses_nothing_and_the_next_call_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, whole = files.Folder(tmp_path / "v"), files.Folder(tmp_path / "whole")
    train(variant(), whole)
    honest, written = os.fsync, iter(range(6))

    def fills_up(handle: int) -> None:
        if next(written, None) is None:
            raise OSError(28, "No space left on device")
        honest(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(OSError, match="No space left"):
        train(variant(), folder)
    monkeypatch.setattr(os, "fsync", honest)
    assert not [file for file in folder.path.rglob("*") if file.name.startswith(".unfinished-")]
    train(variant(), folder)
    assert made(folder) == made(whole)


def test_a_run_killed_twenty_times_at_random_ends_with_the_bytes_of_one_that_never_was(tmp_path: Path) -> None:
    asked = "steps: 5000\n    resume_points: 100"
    text = workspace.TINY.replace("steps: 200", asked).replace("every: 20", "every: 100")
    home = workspace.create(tmp_path / "w", text)
    train(configuration.load(home.path).variant("tiny"), files.Folder(tmp_path / "once"))
    environment = os.environ | {"PYTHONPATH": str(home.path / "src")}
    done = subprocess.run(
        [sys.executable, "-c", KILLER], cwd=home.path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["killed"] * 20 + ["ended"]
    assert made(files.folder_of(home.path, "tiny")) == made(files.Folder(tmp_path / "once"))


KILLER = """
import os, random, signal, time
from pathlib import Path
from miscope import config, store
from miscope.training.loop import train

variant, folder, chance = configuration.load(Path()).variant("tiny"), files.folder_of(Path(), "tiny"), random.Random(0)
for attempt in range(21):
    child = os.fork()
    if child == 0:
        train(variant, folder)
        os._exit(0)
    if attempt < 20:
        time.sleep(0.03 + 0.17 * chance.random())
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else "ended" if status == 0 else "failed", flush=True)
"""
