"""What a training has left on disk, and whether it belongs to it: checkpoints, curve, and states to resume from.

Every file carries the key of its training, made from all that decides the weights (task, seeds, model, recipe, code,
device, threads, versions) and nothing else: not the number of steps, the schedule of checkpoints or of evaluations. A
file with another key is another training's and is not used.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from miscope import catalog, keys
from miscope.core import Variant
from miscope.training.batches import data_digest
from miscope.training.device import Device, versions
from miscope.training.run import Evaluation
from miscope.workspace import files, store


def training_key(variant: Variant, device: Device, cohort: str = "") -> str:
    """The digest of all that decides the weights of a variant at every step.

    A cosine schedule depends on the number of steps, and then that number belongs to the key. So does the cohort, where
    there is one: stacked matmuls add up in another order.
    """
    files = catalog.closure(catalog.SOURCE / "training" / "loop.py", within=("training", "model"))
    facts = {
        "declaration": variant.declaration(),
        "data": data_digest(variant.family, variant.data_seed),
        "branch data": variant.branch and data_digest(variant.branch.family, variant.branch.data_seed),
        "device": device.describe(),
        "cohort": cohort,
        "versions": versions(),
        "code": keys.digest_of_meaning(files),
    }
    return keys.digest(keys.canonical_json(facts))


class Ledger:
    """The files of one training in a variant's folder."""

    def __init__(
        self,
        folder: files.Folder,
        key: str,
        parent: "Ledger | None" = None,
        until: int | None = None,
        kind: Callable[..., Any] = Evaluation,
    ) -> None:
        self.folder, self.key, self.parent, self.until = folder, key, parent, until
        self.curve: dict[int, Any] = self._read_curve(kind)
        self._kept = {step for step in folder.resume_steps() if self._tensors(folder.resume(step)) is not None}

    def checkpoint_steps(self) -> set[int]:
        """Steps whose checkpoint is whole and of this training; others are removed."""
        found = set()
        for step in self.folder.checkpoint_steps():
            path = self.folder.checkpoint(step)
            if store.training_of(path) == self.key:
                found.add(step)
            else:
                path.unlink(missing_ok=True)
        return found

    def resume_steps(self) -> list[int]:
        """Steps whose state is kept here, or in the parent up to where the branch departs; ascending."""
        inherited = self.parent.resume_steps() if self.parent else []
        return sorted(step for step in self._kept.union(inherited) if self.until is None or step <= self.until)

    def save_state(self, step: int, state: dict[str, Tensor]) -> None:
        """Keep a state to resume from."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}
        files.write(self.folder.resume(step), save_tensors(tensors, metadata={"miscope": self.key}))
        self.note_state(step)

    def note_state(self, step: int) -> None:
        """Know that a state is kept, by this process or by the one that writes."""
        self._kept.add(step)

    def state(self, step: int) -> dict[str, Tensor] | None:
        """The state kept at a step; None if there is none, or it is damaged or another training's."""
        own = self._tensors(self.folder.resume(step))
        return own if own is not None or self.parent is None else self.parent.state(step)

    def has_state(self, step: int) -> bool:
        """Whether the state at a step is kept here, not only in the parent."""
        return step in self._kept

    def record(self, evaluation: Any) -> None:
        """Take in an evaluation, a dataclass of numbers whose first is the step."""
        self.curve[evaluation.step] = evaluation

    def save_curve(self) -> None:
        """Write all evaluations so far, before the checkpoint or the state that they lead up to."""
        rows = [list(asdict(self.curve[step]).values()) for step in sorted(self.curve)]
        table = torch.tensor(np.array(rows, dtype=np.float64))
        files.write(self.folder.resume_curve, save_tensors({"curve": table}, metadata={"miscope": self.key}))

    def _read_curve(self, kind: Callable[..., Any]) -> dict[int, Any]:
        tensors = self._tensors(self.folder.resume_curve)
        rows = tensors["curve"].tolist() if tensors else []
        return {int(row[0]): kind(int(row[0]), *row[1:]) for row in rows}

    def _tensors(self, path: Path) -> dict[str, Tensor] | None:
        try:
            content = path.read_bytes()
            if store.metadata_of(content) != self.key:
                return None
            return load_tensors(content)
        except (OSError, ValueError, SafetensorError):
            return None
