"""What the page says when an artifact is missing or stale."""

import shutil
from pathlib import Path

import pytest
from test_pages import explored, texts


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny / "artifacts", tmp_path / "artifacts")
    shutil.copy(tiny / "params.yaml", tmp_path)
    return tmp_path


def test_a_missing_artifact_is_told_with_the_command_that_makes_it(copied: Path) -> None:
    shutil.rmtree(copied / "artifacts" / "tiny" / "instruments" / "losses")
    test = explored(copied, variant="tiny", view="losses.overview")
    assert not test.exception
    assert "`tiny` has no `losses`" in texts(test)
    assert "dvc repro report@tiny" in texts(test)


def test_an_artifact_that_vanishes_while_the_page_is_open_is_not_shown_from_memory(copied: Path) -> None:
    test = explored(copied, variant="tiny", view="losses.overview")
    assert "dvc repro" not in texts(test)
    next((copied / "artifacts" / "tiny" / "instruments" / "losses").glob("*100.npz")).unlink()
    test.run()
    assert not test.exception
    assert "lacks 1 of 11 checkpoints" in texts(test)
