"""The one rule of freshness: what a meaning changed in a file makes stale, and what a comment does not."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import workspace

from miscope import keys
from miscope.keys import closure, digest, meaning
from miscope.workspace.stage_keys import DRAWS, MEASURES

SOURCE = workspace.REPOSITORY / "src" / "miscope"

TRAINS = (SOURCE / "training" / "loop.py", SOURCE / "families" / "modulo_addition.py")

# Run on a copy of the package: the keys of all that is keyed, before and after each file is edited in turn.
SCRIPT = """
import json, sys
from pathlib import Path
from miscope.catalog import builtin
from miscope.keys import SOURCE, digest_of_code
from miscope.workspace.drawing import DRAWS
from miscope.workspace import Workspace, stage_keys
from miscope.workspace.status import code_of

assert str(SOURCE) == sys.argv[1]
plugins = list(builtin().plugins.values())
roots = {f"measure {p.name}": code_of(p.instrument, p.source()) for p in plugins}
roots |= {f"draw {p.name}": (p.source("views"), DRAWS) for p in plugins if p.has("views")}
train = SOURCE / "training"
roots |= {"train": (train / "trainer.py",), "train ensemble": (train / "trainer.py", train / "ensemble.py")}
made = Workspace(Path(sys.argv[2]))
now = lambda: {
    **{name: digest_of_code(*files) for name, files in roots.items()},
    **{f"DVC {name}": json.dumps(content, sort_keys=True) for name, content in stage_keys.contents(made).items()},
}
before, stale = now(), {}
for path in sorted(SOURCE.rglob("*.py")):
    text = path.read_text(encoding="utf-8")
    for kind, edit in (("comment", "\\n\\n# a comment\\n"), ("meaning", "\\nedited = 1\\n")):
        path.write_text(text + edit, encoding="utf-8")
        after = now()
        changed = sorted(name for name in before if after.get(name) != before[name])
        stale[f"{kind} {path.relative_to(SOURCE).as_posix()}"] = changed
    path.write_text(text, encoding="utf-8")
assert now() == before
print(json.dumps(stale))
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """`comment core.py`, `meaning core.py`, ... -> what the edit makes stale."""
    root = tmp_path_factory.mktemp("source")
    (root / "params.yaml").write_text(workspace.TINY)
    shutil.copytree(workspace.REPOSITORY / "stages", root / "stages")
    copy = root / "miscope"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT, str(copy), str(root)], env={"PYTHONPATH": str(copy.parent), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def stale(everything: dict[str, list[str]]) -> dict[str, list[str]]:
    """As the keys say it."""
    return {edit: [name for name in names if not name.startswith("DVC ")] for edit, names in everything.items()}


def test_a_comment_makes_nothing_stale_in_any_file(everything: dict[str, list[str]]) -> None:
    assert {edit: names for edit, names in everything.items() if edit.startswith("comment") and names} == {}


@pytest.mark.parametrize(
    ("kind", "file", "runs"),  # files that run a stage, and are in no key of what it makes
    [
        ("measure", "instruments", MEASURES),
        ("draw", "views", DRAWS),
        ("train", "trainings", sorted(path.relative_to(SOURCE).as_posix() for path in closure(*TRAINS))),
    ],
)
def test_dvc_calls_stale_what_the_keys_call_stale(
    kind: str, file: str, runs: Sequence[str], everything: dict[str, list[str]]
) -> None:
    for edit, names in everything.items():
        keyed = {name.partition(" ")[2] or "tiny" for name in names if name.split()[0] == kind} - {"ensemble"}
        watched = {name.partition("/")[2] for name in names if name.startswith(f"DVC {file}/")} - {"task"}
        assert keyed <= watched, edit
        # neuron_activations stores nothing, so that its drawings are made from code of its measure
        assert watched - {"neuron_activations"} <= keyed or edit.partition(" ")[2] in runs, edit


def test_what_every_instrument_is_handed_makes_all_of_them_stale(stale: dict[str, list[str]]) -> None:
    measured = {name for names in stale.values() for name in names if name.startswith("measure ")}
    for file in ("core.py", "instrument.py", "workspace/store.py", "maths/spectra.py"):
        assert measured <= set(stale[f"meaning {file}"]), file


def test_how_activations_are_observed_makes_those_stale_that_look_at_them(stale: dict[str, list[str]]) -> None:
    for file in ("workspace/observation.py", "model/inspection.py", "model/attention.py"):
        names = set(stale[f"meaning {file}"])
        assert {"measure losses", "measure head_scores", "measure circuit_style", "measure progress_measures"} <= names
        assert not names & {"measure singular_values", "measure weight_norms", "measure neuron_dynamics"}, file


def test_an_instrument_makes_itself_stale_and_no_other(stale: dict[str, list[str]]) -> None:
    folders = {Path(edit.split()[1]).parts[1] for edit in stale if "instruments/" in edit and "_shared" not in edit}
    for name in folders:
        assert stale[f"meaning instruments/{name}/measure.py"] == [f"draw {name}", f"measure {name}"]
        assert stale[f"meaning instruments/{name}/views.py"] == [f"draw {name}"]
        assert stale[f"meaning instruments/{name}/known.py"] == []


def test_a_training_depends_on_what_it_runs_and_nothing_else(stale: dict[str, list[str]]) -> None:
    for file in ("training/trainer.py", "training/batches.py", "training/optimization.py", "model/attention.py"):
        assert {"train", "train ensemble"} <= set(stale[f"meaning {file}"]), file
    assert [name for name in stale["meaning training/ensemble.py"] if name.startswith("train")] == ["train ensemble"]
    for file in ("training/graphs.py", "training/loop.py", "training/record.py", "model/inspection.py"):
        assert not [name for name in stale[f"meaning {file}"] if name.startswith("train")], file


def test_a_renderer_makes_the_drawings_stale_that_use_it(stale: dict[str, list[str]]) -> None:
    names = stale["meaning renderers/timeline.py"]
    assert names == ["draw phases"]
    assert not [name for name in stale["meaning renderers/lines.py"] if name.startswith("measure ")]


@pytest.mark.parametrize("folder", ["report", "scaling", "adapters", "imports", "calibration", "api.py", "__main__.py"])
def test_what_only_reads_results_makes_none_of_them_stale(folder: str, stale: dict[str, list[str]]) -> None:
    edits = [edit for edit in stale if edit.startswith(f"meaning {folder}") and "calibration/case.py" not in edit]
    assert edits
    assert {edit: stale[edit] for edit in edits if stale[edit]} == {}


# ---------------------------------------------------------------- what counts as meaning


DOUBLE = "def double(x):\n    return 2 * x\n"
DOCUMENTED = '"""A module."""\n# twice\ndef double( x : int ) -> int:\n    """Twice."""\n    return (2*x)  # so\n'


@pytest.mark.parametrize(
    ("file", "one", "other", "is_same"),
    [
        ("code.py", DOUBLE, DOCUMENTED, True),
        ("code.py", DOUBLE, "from typing import Any\n\n\ndef double(x: Any) -> Any:\n    return 2 * x\n", True),
        ("code.py", DOUBLE, DOCUMENTED.replace(" x : int ", "x: int = ..., /"), False),
        ("code.py", DOUBLE, DOUBLE.replace("2", "3"), False),
        ("code.py", "class A:\n    x: int\n", "class A:\n    x: float\n", False),  # the fields of a dataclass
        ("table.txt", "1 2", "1  2", False),  # what is no Python counts by its bytes
        ("broken.py", "def (", "def ((", False),
    ],
)
def test_code_counts_as_what_it_does(file: str, one: str, other: str, is_same: bool, tmp_path: Path) -> None:
    (tmp_path / file).write_text(one)
    before = meaning(tmp_path / file)
    (tmp_path / file).write_text(other)
    assert (meaning(tmp_path / file) == before) is is_same


def test_names_that_a_module_passes_on_lead_to_where_they_are_defined(tmp_path: Path) -> None:
    file = tmp_path / "probe.py"
    file.write_text("from miscope.plugin import Null, heatmap\n")
    names = {path.relative_to(SOURCE).as_posix() for path in closure(file) if path.is_relative_to(SOURCE)}
    assert {"instrument.py", "renderers/maps.py"} <= names
    assert "renderers/timeline.py" not in names and "plugin.py" not in names


def test_a_package_of_ones_own_is_followed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tmp_path / "my_lab_of_keys"
    lab.mkdir()
    (lab / "one.py").write_text("from my_lab_of_keys.two import half\nimport my_lab_of_keys.three\n")
    (lab / "two.py").write_text("half = 0.5\n")
    (lab / "three.py").write_text("from .two import half\n")
    monkeypatch.syspath_prepend(tmp_path)
    keys._file_of.cache_clear()
    assert {path.name for path in closure(lab / "one.py")} == {"one.py", "two.py", "three.py"}


@pytest.mark.parametrize(("left", "right"), [([b"ab", b"c"], [b"a", b"bc"]), ([b"a"], [b"a", b""]), ([], [b""])])
def test_only_the_same_parts_have_the_same_digest(left: list[bytes], right: list[bytes]) -> None:
    assert digest(*left) != digest(*right)
    assert digest(*left) == digest(*left)
