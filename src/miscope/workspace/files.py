"""The paths of all files of a workspace, and how files are written: completely or not at all.

    artifacts/<variant>/variant.json                 the record of its training
                        metrics.json, curves.csv     losses at the end; losses over training
                        probe.safetensors            the fixed inputs and their context
                        checkpoints/<step>.safetensors
                        resume/<step>.safetensors    states to resume training from
                        replaced/<key>/              an earlier training with other settings or code
                        instruments/<instrument>/<step>.npz or over_training.npz, and nulls.json
                        views/<instrument>/<view>.json, drawn_from; views/task of the family's views
                        report.html

Every file is byte-stable: the same content gives the same bytes.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Folder:
    """The files of one variant."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def beside(self, name: str) -> "Folder":
        """The folder of another variant of the same workspace."""
        return Folder(self.path.parent / name)

    @property
    def record(self) -> Path:
        return self.path / "variant.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def curves(self) -> Path:
        return self.path / "curves.csv"

    @property
    def probe(self) -> Path:
        return self.path / "probe.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"{step:06d}.safetensors"

    def checkpoint_steps(self) -> tuple[int, ...]:
        return _steps(self.checkpoints, ".safetensors")

    def replaced(self, key: str) -> Path:
        """Where a training with another key is kept."""
        return self.path / "replaced" / key

    def resume(self, step: int) -> Path:
        """The state of the training at a step: weights and the optimizer's moments."""
        return self.path / "resume" / f"{step:06d}.safetensors"

    @property
    def resume_curve(self) -> Path:
        """All evaluations so far, kept so that training can continue."""
        return self.path / "resume" / "curve.safetensors"

    @property
    def began(self) -> Path:
        """The declaration and the number of processes with which training began."""
        return self.path / "resume" / "began.json"

    def resume_steps(self) -> tuple[int, ...]:
        return _steps(self.path / "resume", ".safetensors")

    def instrument(self, name: str) -> Path:
        """The folder of everything that an instrument stores."""
        return self.path / "instruments" / name

    def output(self, instrument: str, step: int) -> Path:
        return self.instrument(instrument) / f"{step:06d}.npz"

    def output_steps(self, instrument: str) -> tuple[int, ...]:
        return _steps(self.instrument(instrument), ".npz")

    def over_training(self, instrument: str) -> Path:
        return self.instrument(instrument) / "over_training.npz"

    def nulls(self, instrument: str) -> Path:
        """What chance would show, for every view of the instrument."""
        return self.instrument(instrument) / "nulls.json"

    def not_applicable(self, instrument: str) -> Path:
        """The file that says why the instrument has nothing to measure on this variant."""
        return self.instrument(instrument) / "not_applicable.npz"

    @property
    def views(self) -> Path:
        return self.path / "views"

    def drawn_from(self, instrument: str) -> Path:
        """The key of an instrument's drawings."""
        return self.views / instrument / "drawn_from"


def folder_of(root: Path, variant: str) -> Folder:
    return Folder(root / "artifacts" / variant)


def _steps(path: Path, suffix: str) -> tuple[int, ...]:
    if not path.is_dir():
        return ()
    return tuple(
        sorted(int(f.name.removesuffix(suffix)) for f in path.iterdir() if f.name.removesuffix(suffix).isdigit())
    )


# ---------------------------------------------------------------- bytes


def write(path: Path, content: bytes | str) -> None:
    """Write the file completely or not at all: a temporary file beside it is flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep(path: Path, keep: set[Path]) -> int:
    """Remove the files directly under `path` that are not in `keep`; returns their number."""
    orphans = [file for file in path.iterdir() if file.is_file() and file not in keep] if path.is_dir() else []
    for file in orphans:
        file.unlink()
    return len(orphans)


def pretty_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"
