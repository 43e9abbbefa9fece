"""Resume, densify, extend, branch: each ends with the bytes of a run that was asked for all of it from the start."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import workspace
from trainings import FAMILY, MODEL, RECIPES, variant

from miscope.core import Adaptive, Branch, MiscopeError, Variant
from miscope.keys import digest_of_arrays
from miscope.training.loop import train
from miscope.workspace import configuration, store
from miscope.workspace.files import Folder


def tiny(*checkpoints: int, **recipe: object) -> Variant:
    return variant(*(checkpoints or (0, 40, 80)), resume_points=4, **recipe)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "v")


@pytest.fixture
def fresh(tmp_path: Path) -> Folder:
    """Where the same is trained at once."""
    return Folder(tmp_path / "fresh")


def made(folder: Folder) -> dict[str, bytes]:
    """Checkpoints and curve: what every other stage reads."""
    return {path.name: path.read_bytes() for path in (*sorted(folder.checkpoints.iterdir()), folder.curves)}


def test_more_checkpoints_replay_only_the_stretch_they_lie_in(folder: Folder, fresh: Folder) -> None:
    train(tiny(), folder)
    before = made(folder)
    record = train(tiny(0, 40, 45, 55, 80), folder)
    train(tiny(0, 40, 45, 55, 80), fresh)
    assert made(folder) == made(fresh)
    assert all(made(folder)[name] == content for name, content in before.items() if name != "curves.csv")
    assert record["this_time"]["updates"] == 15  # from the state kept at 40 to step 55
    assert record["this_time"]["checkpoints"] == 2


def test_nothing_is_computed_twice(folder: Folder) -> None:
    train(tiny(), folder)
    assert train(tiny(), folder)["this_time"]["updates"] == 0


def test_a_longer_run_goes_on_from_the_end(folder: Folder, fresh: Folder) -> None:
    train(tiny(), folder)
    record = train(tiny(0, 40, 80, 120), folder)
    train(tiny(0, 40, 80, 120), fresh)
    assert made(folder) == made(fresh)
    assert record["this_time"]["updates"] == 40


def test_fewer_checkpoints_leave_no_orphans(folder: Folder) -> None:
    train(tiny(0, 10, 40, 80), folder)
    train(tiny(), folder)
    assert folder.checkpoint_steps() == (0, 40, 80)


OTHER = {"learning_rate": 2e-3, "weight_decay": 0.5, "optimizer": "adam", "schedule": "cosine", "warmup_steps": 5}


@pytest.mark.parametrize("key", OTHER)
def test_another_recipe_is_another_training(key: str, folder: Folder, fresh: Folder) -> None:
    train(tiny(), folder)
    record = train(tiny(**{key: OTHER[key]}), folder)
    train(tiny(**{key: OTHER[key]}), fresh)
    assert record["this_time"]["updates"] == 80
    assert made(folder) == made(fresh)


@pytest.mark.parametrize(
    "recipe", [*RECIPES, {"optimizer": "torch.optim.RMSprop"}, {"batch_size": 16}, {"accumulate": 3}]
)
def test_every_recipe_resumes_to_the_same_bytes(recipe: dict[str, object], folder: Folder, fresh: Folder) -> None:
    train(tiny(**recipe), fresh)
    train(tiny(**recipe), folder)
    for path in (folder.checkpoint(80), folder.resume(80), folder.resume(60), folder.resume_curve):
        path.unlink()
    train(tiny(**recipe), folder)
    assert made(folder) == made(fresh)


def test_a_damaged_checkpoint_or_state_is_made_again(folder: Folder) -> None:
    train(tiny(), folder)
    before = made(folder)
    for path in (folder.checkpoint(40), folder.resume(40), folder.resume_curve):
        path.write_bytes(path.read_bytes()[:-20])
    train(tiny(), folder)
    assert made(folder) == before


def test_a_checkpoint_or_a_state_of_another_architecture_is_made_again(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other")
    train(tiny(), folder)
    before = made(folder)
    train(replace(tiny(), model=replace(MODEL, d_mlp=32)), other)
    folder.checkpoint(40).write_bytes(other.checkpoint(40).read_bytes())
    folder.resume(40).write_bytes(other.resume(40).read_bytes())
    train(tiny(), folder)
    assert made(folder) == before


def test_a_branch_is_its_parent_up_to_where_it_departs_and_reuses_its_states(tmp_path: Path) -> None:
    parent, child, alone = (Folder(tmp_path / name) for name in ("parent", "child", "alone/child"))
    train(replace(tiny(), name="parent"), parent)
    departs = Branch("parent", 40, FAMILY, 1, replace(tiny().recipe, weight_decay=0.0, learning_rate=5e-3))
    branch = replace(tiny(0, 40, 60, 80, eval_every=40), name="child", branch=departs)
    record = train(branch, child)
    assert train(branch, alone)["this_time"]["updates"] == 80
    assert record["this_time"]["updates"] == 40
    assert made(child) == made(alone)
    for step in (0, 40):
        left, right = (store.load_checkpoint(folder.checkpoint(step)) for folder in (parent, child))
        assert digest_of_arrays(left.weights) == digest_of_arrays(right.weights)
    assert store.weights_digest(parent.checkpoint(80)) != store.weights_digest(child.checkpoint(80))
    assert record["branch"]["parent"] == "parent"
    assert record["branch"]["at"] == 40


def test_adaptive_checkpoints_are_the_same_for_the_same_run_and_where_the_metric_moves(
    folder: Folder, fresh: Folder
) -> None:
    asked = replace(tiny(0, 200, eval_every=5), adaptive=Adaptive(6, "train_loss"))
    train(asked, folder)
    train(asked, fresh)
    assert made(folder) == made(fresh)
    chosen = [step for step in folder.checkpoint_steps() if step not in (0, 200)]
    assert 3 <= len(chosen) <= 6
    assert train(asked, folder)["this_time"]["updates"] == 0


def test_weights_that_stand_still_are_an_error_that_names_the_step(folder: Folder) -> None:
    with pytest.raises(MiscopeError, match="at step 40 equal those at step 0: updates move nothing"):
        train(tiny(learning_rate=0.0, weight_decay=0.0), folder)


def test_a_full_disk_loses_nothing_and_the_next_call_goes_on(
    folder: Folder, fresh: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny(), fresh)
    honest, written = os.fsync, iter(range(6))

    def fills_up(handle: int) -> None:
        if next(written, None) is None:
            raise OSError(28, "No space left on device")
        honest(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(OSError, match="No space left"):
        train(tiny(), folder)
    monkeypatch.setattr(os, "fsync", honest)
    assert not [file for file in folder.path.rglob("*") if file.name.startswith(".unfinished-")]
    train(tiny(), folder)
    assert made(folder) == made(fresh)


def test_a_run_killed_twenty_times_at_random_ends_with_the_bytes_of_one_that_never_was(tmp_path: Path) -> None:
    text = workspace.TINY.replace("steps: 200", "steps: 5000\n    resume_points: 100")
    home = workspace.create(tmp_path / "w", text.replace("every: 20", "every: 100"))
    train(configuration.load(home.path).variant("tiny"), Folder(tmp_path / "once"))
    assert home.run("python", "-c", KILLER).stdout.split() == ["killed"] * 20 + ["ended"]
    assert made(Folder(home.path / "artifacts/tiny")) == made(Folder(tmp_path / "once"))


KILLER = """
import os, random, signal, time
from pathlib import Path
from miscope.training.loop import train
from miscope.workspace import Workspace

workspace, chance = Workspace(Path()), random.Random(0)
variant, folder = workspace.config.variant("tiny"), workspace.folder("tiny")
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
