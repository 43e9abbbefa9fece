"""Two small variants, trained and analysed in this process: what instruments do, without DVC."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import workspace

from miscope.training.loop import train
from miscope.workspace import Workspace, analysis, store
from miscope.workspace.analysis import Progress, Summary
from miscope.workspace.configuration import Config
from miscope.workspace.files import Folder
from miscope.workspace.loaded import LoadedVariant

STEPS = (0, 20, 40)
PARAMS = """\
variants:
  small:
    family: modulo_addition
    modulus: 7
    train_fraction: 0.5
    seed: 1
    steps: 40
    eval_every: 20
    checkpoints: [20]
    model: {d_model: 8, n_heads: 2, d_head: 4, d_mlp: 16}
  attention_only:
    family: modulo_addition
    modulus: 7
    train_fraction: 0.5
    steps: 2
    checkpoints: [1]
    model: {d_model: 8, n_heads: 2, d_head: 4, d_mlp: 0}
instruments:
  neuron_spectra: {levels: [0.7, 0.9], low_frequencies: 3}
  dominant_frequencies: {threshold: 3.0}
  loss_landscape: {checkpoints: 12, directions: 2, trace_vectors: 2}
  local_learning_coefficient: {draws: 8, chains: 2}
"""
# an instrument of the user's own, with a setting, a null, and a view with an option
OWN = '''
"""How much heads attend on average."""
from dataclasses import dataclass
import numpy as np
from jaxtyping import Float
from miscope.plugin import *

@dataclass(frozen=True)
class Mean(Output):
    mean: Float[np.ndarray, " layer"]  # over inputs, heads and keys

def mean(checkpoint, context, *, scale: float = 1.0) -> Mean:
    return Mean(scale * checkpoint.layers("attn.hook_pattern").mean(axis=(1, 2, 3)))

def nulls(artifact, context):
    yield Null.absent("there is none").of("overview")

@view(question="How much do heads attend?", reading="A line.", draw=lines("step", "mean"))
def overview(artifact, context, *, times: float = 1.0):
    return long("mean", times * artifact.stack("mean")[:, 0], step=artifact.steps)

instrument = PerCheckpoint(mean, needs=("attn.hook_pattern",), nulls=nulls)
'''


@dataclass(frozen=True)
class Small:
    """A workspace with the variants `small` and `attention_only`; what is asked without a variant is of `small`."""

    root: Path

    @property
    def config(self) -> Config:
        return Workspace(self.root).config

    @property
    def folder(self) -> Folder:
        return Workspace(self.root).folder("small")

    @property
    def stored(self) -> tuple[str, ...]:
        return self.config.catalog.stored

    def load(self, variant: str = "small") -> LoadedVariant:
        return Workspace(self.root).load(variant)

    def update(self, *names: str, variant: str = "small", progress: Progress = iter) -> dict[str, Summary]:
        """Bring some instruments up to date, or all; what comes back is what each did."""
        folder = Workspace(self.root).folder(variant)
        return analysis.bring_up_to_date(self.config, folder, names or self.stored, progress)

    def run(self, *words: str, source: Path = workspace.REPOSITORY / "src") -> subprocess.CompletedProcess[str]:
        """Python in a process of its own, on the tests' folder and a source of the product."""
        environment = os.environ | {"PYTHONPATH": f"{source}:{Path(__file__).parent}"}
        return subprocess.run(
            [sys.executable, *words], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def change(self, old: str, new: str) -> None:
        """Edit params.yaml."""
        text = (self.root / "params.yaml").read_text()
        assert old in text
        (self.root / "params.yaml").write_text(text.replace(old, new, 1))

    def contents(self, instrument: str) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.folder.instrument(instrument).iterdir()}

    def change_weights(self, step: int) -> None:
        """Write a checkpoint that is whole and valid, with other weights."""
        path = self.folder.checkpoint(step)
        before = store.load_checkpoint(path)
        weights = {name: weight + np.float32(0.25) for name, weight in before.weights.items()}
        store.save_checkpoint(path, step, before.model, weights)

    def sign_with_other_code(self, instrument: str) -> None:
        """The same Outputs, as an earlier version of the instrument would have signed them."""
        for path in self.folder.instrument(instrument).glob("*.npz"):
            key = replace(store.output_key(path), code="0" * 32)
            store.save_output(path, self.output(path, instrument), key)

    def output(self, path: Path, instrument: str) -> Any:
        return store.load_output(path, self.config.catalog.instrument(instrument).output_type)

    def copy(self, path: Path) -> "Small":
        return Small(Path(shutil.copytree(self.root, path)))


def create(root: Path, params: str = PARAMS, *instruments: str) -> Small:
    """The variants of `params`, trained and analysed by some instruments, or by all."""
    (root / "params.yaml").write_text(params)
    made = Small(root)
    for name, variant in made.config.variants.items():
        folder = Workspace(root).folder(name)
        train(variant, folder)
        analysis.write_probe(made.config, folder)
        assert not [summary.error for summary in made.update(*instruments, variant=name).values() if summary.error]
    return made


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
