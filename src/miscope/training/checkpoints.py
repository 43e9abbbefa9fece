"""What a training has left on disk, and whether it belongs to it: checkpoints, curve, and states to resume from.

Every file carries the key of its training, made from all that decides the weights (task, seeds, model, recipe, code,
device, threads, versions) and nothing else: not the number of steps, the schedule of checkpoints or of evaluations. A
file with another key is another training's and is not used.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from miscope.core import Adaptive, Variant
from miscope.keys import SOURCE, Key, canonical_json, digest, digest_of_code
from miscope.training.batches import data_digest
from miscope.training.device import Device, versions
from miscope.training.graphs import can_replay
from miscope.training.trainer import Evaluation
from miscope.workspace.files import Folder, write
from miscope.workspace.store import metadata_of, training_of

HERE = SOURCE / "training"
SMOOTHED = 5  # evaluations, by a running median: single spikes attract no checkpoints


def training_key(variant: Variant, device: Device, ensemble: str = "") -> str:
    """The digest of all that decides the weights of a variant at every step.

    A cosine schedule depends on the number of steps, and then that number belongs to the key. So does the ensemble,
    where there is one: stacked matmuls add up in another order. Code counts that this variant runs on this device.
    """
    branch = variant.branch
    inputs = {
        "data": data_digest(variant.family, variant.data_seed),
        "branch's data": data_digest(branch.family, branch.data_seed) if branch else "",
        "device": digest(canonical_json(device.describe())),
        "versions": digest(canonical_json(versions())),
        "ensemble": ensemble,
    }
    stacks = [HERE / "ensemble.py"] if ensemble else []
    replays = [HERE / "graphs.py"] if can_replay(variant.recipe, device) else []
    code = digest_of_code(HERE / "trainer.py", *stacks, *replays)
    return Key(inputs, code, canonical_json(variant.declaration())).digest


class CheckpointStore:
    """The files of one training in a variant's folder."""

    def __init__(
        self, folder: Folder, key: str, parent: "CheckpointStore | None" = None, until: int | None = None,
        evaluation: Callable[..., Any] = Evaluation.of,
    ) -> None:  # fmt: skip
        """States of `parent` up to the step `until` are its own, too. `evaluation` makes one from numbers by name."""
        self.folder, self.key, self.parent, self.until = folder, key, parent, until
        self.curve: dict[int, Any] = self._read_curve(evaluation)
        # steps of states that lie here, written by this process or by the one that writes
        self.kept = {step for step in folder.resume_steps() if self._tensors(folder.resume(step)) is not None}

    def checkpoint_steps(self) -> set[int]:
        """Steps whose checkpoint is whole and of this training; others are removed."""
        own = {step for step in self.folder.checkpoint_steps() if training_of(self.folder.checkpoint(step)) == self.key}
        for step in {*self.folder.checkpoint_steps()} - own:
            self.folder.checkpoint(step).unlink(missing_ok=True)
        return own

    def resume_steps(self) -> set[int]:
        """Steps whose state is kept here, or in the parent up to where the branch departs."""
        inherited = self.parent.resume_steps() if self.parent else set()
        return {step for step in self.kept | inherited if self.until is None or step <= self.until}

    def save_state(self, step: int, state: dict[str, Tensor]) -> None:
        """Keep a state to resume from."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}
        write(self.folder.resume(step), save_tensors(tensors, metadata={"miscope": self.key}))

    def state(self, step: int) -> dict[str, Tensor] | None:
        """The state kept at a step; None if there is none, or it is damaged or another training's."""
        own = self._tensors(self.folder.resume(step))
        return own if own is not None or self.parent is None else self.parent.state(step)

    def save_curve(self) -> None:
        """Write all evaluations so far, before the checkpoint or the state that they lead up to."""
        rows = [self.curve[step].numbers() for step in sorted(self.curve)]
        columns = {f"{i:03d} {name}": torch.tensor([float(row[name]) for row in rows], dtype=torch.float64)
                   for i, name in enumerate(rows[0] if rows else ())}  # fmt: skip
        write(self.folder.resume_curve, save_tensors(columns, metadata={"miscope": self.key}))

    def _read_curve(self, evaluation: Callable[..., Any]) -> dict[int, Any]:
        columns = self._tensors(self.folder.resume_curve) or {}
        names = [name.partition(" ")[2] for name in sorted(columns)]
        rows = zip(*(columns[name].tolist() for name in sorted(columns)), strict=True)
        return {int(row[0]): evaluation(dict(zip(names, row, strict=True))) for row in rows}

    def _tensors(self, path: Path) -> dict[str, Tensor] | None:
        try:
            content = path.read_bytes()
            return load_tensors(content) if metadata_of(content) == self.key else None
        except (OSError, ValueError, SafetensorError):
            return None


@dataclass(frozen=True)
class Target:
    """What is wanted of one model: steps at which a checkpoint, an evaluation and a state to resume from are."""

    store: CheckpointStore
    checkpoints: set[int]
    evaluations: set[int]
    states: set[int]
    on_evaluation: Callable[[Any], None] = lambda _: None

    def missing(self) -> set[int]:
        """Steps of which a checkpoint or an evaluation is not there."""
        return (self.checkpoints - self.store.checkpoint_steps()) | (self.evaluations - self.store.curve.keys())


@dataclass
class Done:
    """What one call did."""

    updates: int = 0
    checkpoints: int = 0
    fallback_reason: str = ""  # why it took longer than it might have


def store_of(variant: Variant, folder: Folder, device: Device, *, is_stacked: bool = False) -> CheckpointStore:
    """The variant's files; a branch may also go on from the states of its parent, which trained alike up to there."""
    branch, parent = variant.branch, None
    if branch is not None:
        key = training_key(replace(variant, branch=None), device)
        parent = CheckpointStore(Folder(folder.path.parent / branch.parent), key, until=branch.at)
    return CheckpointStore(folder, training_key(variant, device, variant.recipe.ensemble if is_stacked else ""), parent)


def target_of(
    variant: Variant, store: CheckpointStore, on_evaluation: Callable[[Any], None] = lambda _: None,
    more: Iterable[int] = (),
) -> Target:  # fmt: skip
    """All that params.yaml asks of a variant, and checkpoints at `more` steps.

    The curve has a row at each `eval_every`, each checkpoint and the last step. States are kept evenly, at the last
    step too; one weighs three checkpoints.
    """
    recipe, checkpoints = variant.recipe, {*variant.checkpoint_steps, *more}
    evaluations = {*range(0, recipe.steps + 1, recipe.eval_every), recipe.steps, *checkpoints}
    asked, fewest = recipe.resume_points, max(1, min(8, len(variant.checkpoint_steps) // 4))
    n = asked if asked >= 0 else fewest
    states = {round(recipe.steps * i / n) for i in range(1, n + 1)}
    return Target(store, checkpoints, evaluations, states, on_evaluation)


def adaptive_steps(curve: Sequence[Evaluation], adaptive: Adaptive) -> set[int]:
    """Steps that cut the path of the metric into equal parts: at most `adaptive.checkpoints`, by the curve alone.

    The path is the total variation of the metric, or of a loss's logarithm, after a running median of 5 evaluations: a
    descent gets most checkpoints, a plateau few.
    """
    steps = np.array([e.step for e in curve])
    values = np.array([getattr(e, adaptive.metric) for e in curve])
    if adaptive.metric.endswith("loss"):
        values = np.log10(np.maximum(values, 1e-12))
    half = SMOOTHED // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, half, mode="edge"), SMOOTHED)
    path = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(np.median(windows, axis=-1))))])
    if path[-1] == 0:
        return set()
    quantiles = path[-1] * (np.arange(adaptive.checkpoints) + 0.5) / adaptive.checkpoints
    return {int(step) for step in steps[np.searchsorted(path, quantiles)]}
