"""What was trained is kept when settings or code change, and taken back when they are asked for again."""

import json
import random
from pathlib import Path

import pytest
import torch
from trainings import variant

from miscope.core import Variant
from miscope.training import checkpoints
from miscope.training.checkpoints import training_key
from miscope.training.loop import train
from miscope.workspace.files import Folder

ONE, OTHER, THIRD = ({"learning_rate": rate} for rate in (1e-3, 2e-3, 3e-3))


def tiny(*steps: int, **recipe: object) -> Variant:
    return variant(*(steps or (0, 40, 80)), resume_points=4, **recipe)


def files(folder: Folder) -> dict[str, bytes]:
    """All but what was set aside."""
    paths = (path for path in folder.path.rglob("*") if path.is_file() and "replaced" not in path.parts)
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in paths}


def weights(folder: Folder) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if name.endswith(".safetensors")}


def kept(folder: Folder) -> set[str]:
    """The keys of trainings that are set aside."""
    return {path.name for path in folder.replaced("").glob("*")}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "v")


def test_an_earlier_training_is_set_aside_and_taken_back_without_an_update(folder: Folder) -> None:
    train(tiny(**ONE), folder)
    before, said = weights(folder), list[str]()
    train(tiny(**OTHER), folder, on_notice=said.append)
    assert kept(folder) == {training_key(tiny(**ONE))}
    (notice,) = said
    assert f"lies in {folder.replaced(training_key(tiny(**ONE)))}" in notice and " MB)" in notice
    assert weights(folder) != before
    assert train(tiny(**ONE), folder)["this_time"]["updates"] == 0
    assert weights(folder) == before
    assert kept(folder) == {training_key(tiny(**OTHER))}


def test_one_earlier_training_is_kept(folder: Folder) -> None:
    for recipe in (ONE, OTHER, THIRD):
        train(tiny(**recipe), folder)
    assert kept(folder) == {training_key(tiny(**OTHER))}


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_while_files_are_moved_loses_none(seed: int, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tiny(**ONE), folder)
    before, move, left = weights(folder), Path.replace, random.Random(seed).randrange(1, 9)

    def killed(path: Path, to: Path) -> Path:
        nonlocal left
        left -= "replaced" in Path(to).parts
        if not left:
            raise KeyboardInterrupt
        return move(path, to)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        train(tiny(**OTHER), folder)
    train(tiny(**OTHER), folder)
    assert train(tiny(**ONE), folder)["this_time"]["updates"] == 0
    assert weights(folder) == before


def test_a_checkpoint_that_is_no_longer_asked_for_is_taken_back_when_it_is_again(folder: Folder) -> None:
    train(tiny(0, 10, 40, 80), folder)
    before = files(folder)
    train(tiny(), folder)
    assert folder.checkpoint_steps() == (0, 40, 80)
    assert train(tiny(0, 10, 40, 80), folder)["this_time"]["updates"] == 0
    assert weights(folder) == {name: before[name] for name in weights(folder)}
    assert folder.checkpoint_steps() == (0, 10, 40, 80)


def test_another_number_of_threads_or_version_is_recorded_and_throws_nothing_away(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny(), folder)
    before, n_threads = weights(folder), torch.get_num_threads()
    monkeypatch.setattr(torch, "__version__", "9.9")
    torch.set_num_threads(n_threads + 1)
    try:
        record = train(tiny(), folder)
        assert record["this_time"]["updates"] == 0 and "warning" not in record
        record = train(tiny(0, 40, 80, 120), folder)
    finally:
        torch.set_num_threads(n_threads)
    assert record["this_time"]["updates"] == 40
    own = {name: content for name, content in before.items() if name.startswith("checkpoints/")}
    assert {name: weights(folder)[name] for name in own} == own
    assert f"threads {n_threads}, then {n_threads + 1}" in record["warning"] and "then 9.9" in record["warning"]
    assert json.loads(folder.record.read_text())["warning"] == record["warning"]


def test_a_declared_number_of_threads_is_another_training_and_its_default_is_not(folder: Folder) -> None:
    assert "threads" not in tiny().declaration()["recipe"]
    assert training_key(tiny()) == training_key(tiny(threads=0)) != training_key(tiny(threads=1))


@pytest.mark.parametrize(("device", "is_counted"), [("cpu", False), ("auto", True), ("cuda", True)])
def test_a_training_on_a_cpu_does_not_count_the_code_of_cuda_graphs(
    device: str, is_counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = list[Path]()
    monkeypatch.setattr(checkpoints, "digest_of_code", lambda *files: counted.extend(files) or "")
    training_key(tiny(device=device))
    assert (checkpoints.HERE / "graphs.py" in counted) is is_counted
