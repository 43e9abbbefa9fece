"""A workspace in a temporary folder: the product's own source, a small params.yaml, real DVC."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

import miscope.workspace

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"  # reference data that users do not have

TINY = """\
variants:
  tiny:
    family: modulo_addition
    modulus: 13
    seed: 1
    data_seed: 1
    train_fraction: 0.5
    steps: 200
    eval_every: 10
    checkpoints:
      - every: 20
    model: {d_model: 32, n_heads: 2, d_head: 16, d_mlp: 64}
"""
UNTRAINED = """\
  untrained:
    family: modulo_addition
    modulus: 17
    seed: 2
"""


# instruments with nothing to measure on one layer that adds modulo p, and a view that wants more neurons
NOT_APPLICABLE = frozenset(
    {"composition_scores", "logit_difference", "loss_by_position", "task_metrics", "walsh_spectrum"}
)
NOTHING_TO_SHOW = frozenset({"neuron_groups.relief"})


def is_shown(view: str) -> bool:
    """Whether a view has something to show on the variant `tiny`."""
    return view.partition(".")[0] not in NOT_APPLICABLE and view not in NOTHING_TO_SHOW


TOY_SETTINGS = {
    "loss_landscape": {"checkpoints": 3, "directions": 4, "products": 6, "trace_vectors": 2, "answers": 64},
    "local_learning_coefficient": {"checkpoints": 2, "chains": 2, "draws": 8, "answers": 16},
    "quantization_sensitivity": {"checkpoints": 2, "inputs": 64},
}


def shipped() -> miscope.workspace.Workspace:
    """The workspace that the repository is."""
    return miscope.workspace.Workspace(REPOSITORY)


@dataclass(frozen=True)
class Workspace:
    """A folder with stages, source and params.yaml, under git and DVC."""

    path: Path

    def run(self, *words: str, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the workspace, with this Python and the workspace's own source."""
        paths = {"PYTHONPATH": str(self.path / "src"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(words, cwd=self.path, env=os.environ | paths, capture_output=True, text=True, check=False)
        if is_checked and done.returncode:
            raise AssertionError(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def repro(self, *words: str) -> set[str]:
        """`dvc repro` of the reports; what comes back are the stages that ran: `train@tiny`, `losses:analyze@tiny`."""
        out = self.run("dvc", "repro", *(words or ("report",))).stdout
        ran = [line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")]
        return {name.removeprefix("stages/").replace("/dvc.yaml", "") for name in ran}

    def make(self, *words: str) -> list[str]:
        """`python -m miscope run`, which makes what `dvc repro` would, sooner; what it says."""
        return self.run("python", "-m", "miscope", "run", *words).stdout.splitlines()

    def log(self, stage: str) -> str:
        """What a stage said when `make` ran it, such as `losses-analyze@tiny`."""
        return (self.path / "artifacts" / ".jobs" / "logs" / f"{stage}.log").read_text(encoding="utf-8")

    def computed(self) -> set[str]:
        """The instruments of which the stages that `make` ran since the last call computed anything."""
        logs = sorted((self.path / "artifacts" / ".jobs" / "logs").glob("*-analyze@*.log"))
        said = {log.name.partition("-analyze@")[0]: log.read_text(encoding="utf-8") for log in logs}
        for log in logs:
            log.unlink()
        return {name for name, text in said.items() if re.search(r": [1-9]\d* computed", text)}

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.path / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        (self.path / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    def bytes_of(self, folder: str) -> dict[str, bytes]:
        """Every file below a folder."""
        root = self.path / folder
        return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}

    def copy(self, path: Path) -> "Workspace":
        shutil.copytree(self.path, path, symlinks=True)
        return Workspace(path)


def instruments() -> str:
    """The section of params.yaml as shipped, with fewer directions, draws and checkpoints where those cost much."""
    yaml, shipped = YAML(), (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    section = yaml.load("instruments:" + shipped.partition("\ninstruments:")[2])
    for name, settings in TOY_SETTINGS.items():
        section["instruments"][name].update(settings)
    text = StringIO()
    yaml.dump(section, text)
    return text.getvalue()


def create(path: Path, variants: str = TINY) -> Workspace:
    """A fresh workspace whose params.yaml declares `variants`; instruments as shipped, the expensive ones smaller."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "cache", "tmp", "*.lock")
    for folder in ("src", "stages", ".dvc"):
        shutil.copytree(REPOSITORY / folder, path / folder, ignore=ignored)
    for file in ("dvc.yaml", ".dvcignore", ".gitignore", "pyproject.toml"):
        shutil.copy(REPOSITORY / file, path / file)
    (path / "params.yaml").write_text(f"{variants}\n{instruments()}", encoding="utf-8")
    workspace = Workspace(path)
    workspace.run("git", "init", "-q")
    workspace.run("git", "add", "-A")
    workspace.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "workspace")
    return workspace
