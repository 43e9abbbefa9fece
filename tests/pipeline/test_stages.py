"""The stages of instruments are those that the catalog asks for, and every stage names its inputs."""

from pathlib import Path

import pytest
import workspace
from ruamel.yaml import YAML

from miscope.core import MiscopeError
from miscope.workspace import stage_files

STAGES = YAML(typ="safe").load(workspace.REPOSITORY / "dvc.yaml")["stages"]
FILES = stage_files.wanted(workspace.shipped())


def test_the_files_of_all_instruments_are_as_the_command_writes_them() -> None:
    stage_files.check(workspace.shipped())
    assert len(FILES) == len(workspace.shipped().catalog.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_stage_depends_on_the_key_of_its_code_and_stores_in_its_own_folder(path: Path) -> None:
    stages, name = YAML(typ="safe").load(FILES[path])["stages"], path.parent.name
    for stage, key, out in (("analyze", "instruments", "instruments"), ("render", "views", "views")):
        if stage in stages:
            declared = stages[stage]["do"]
            assert f"artifacts/keys/{key}/{name}" in declared["deps"]
            assert [list(each) for each in declared["outs"]] == [[f"artifacts/${{key}}/{out}/{name}"]]
            assert declared["cmd"].split()[3:] == [f"stages/{stage}.py", "${key}", name]


def test_the_stage_keys_depends_on_all_code_and_every_script() -> None:
    scripts = {
        path.relative_to(workspace.REPOSITORY).as_posix() for path in (workspace.REPOSITORY / "stages").glob("*.py")
    }
    assert set(STAGES["keys"]["deps"]) == {"params.yaml", "src/miscope"} | scripts - {"stages/calibrate.py"}
    for name, stage in STAGES.items():
        assert name == "keys" or any(dep.startswith("artifacts/keys/") for dep in stage["do"]["deps"]), name


def test_files_that_are_missing_changed_or_left_over_are_named_and_mended(tmp_path: Path) -> None:
    made = workspace.create(tmp_path / "made")
    root = stage_files.Workspace(made.path)
    (made.path / "stages/losses/dvc.yaml").unlink()
    (made.path / "stages/gone").mkdir()
    text = (made.path / "stages/phases/dvc.yaml").read_text()
    (made.path / "stages/gone/dvc.yaml").write_text(text)
    (made.path / "artifacts/tiny/views/gone").mkdir(parents=True)
    with pytest.raises(
        MiscopeError, match=r"stages of the instrument `losses` are missing. Run `python -m miscope stages`"
    ):
        stage_files.check(root)
    assert stage_files.bring_up_to_date(root) == ["wrote stages/losses/dvc.yaml", "removed stages/gone/dvc.yaml"]
    stage_files.check(root)
    assert not (made.path / "stages/gone").exists() and not (made.path / "artifacts/tiny/views/gone").exists()
