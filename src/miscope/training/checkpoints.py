"""What a training has left on disk, and whether it belongs to it: checkpoints, curve, and states to resume from.

Every file carries the key of its training, made from what decides the weights (task, seeds, model, recipe, the code
that runs) and nothing else: not the number of steps, the schedule of checkpoints or of evaluations, nor the machine and
the versions of libraries, which are recorded. A file with another key is another training's and is not used.

Nothing that was trained is thrown away. What lies there of another training is set aside in `replaced/<key>`, one such
training is kept, and its files are taken back when its key is asked for again. So are checkpoints of this training that
params.yaml no longer asks for.
"""

import inspect
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from miscope.core import Adaptive, Family, Variant
from miscope.keys import SOURCE, Key, canonical_json, digest_of_code
from miscope.training.batches import data_digest
from miscope.training.graphs import may_replay
from miscope.training.trainer import Evaluation
from miscope.workspace.files import Folder, write
from miscope.workspace.store import metadata_of, metadata_of_file, training_of

HERE = SOURCE / "training"
SMOOTHED = 5  # evaluations, by a running median: single spikes attract no checkpoints


def training_key(variant: Variant, ensemble: str = "") -> str:
    """The digest of all that decides the weights of a variant at every step.

    A cosine schedule depends on the number of steps, and then that number belongs to the key. So does the ensemble,
    where there is one: stacked matmuls add up in another order. Code counts that this variant runs.
    """
    branch = variant.branch
    inputs = {
        "data": data_digest(variant.family, variant.data_seed),
        "branch's data": data_digest(branch.family, branch.data_seed) if branch else "",
        "ensemble": ensemble,
    }
    stacks = [HERE / "ensemble.py"] if ensemble else []
    replays = [HERE / "graphs.py"] if may_replay(variant.recipe) else []
    family = type(variant.family)
    losses = [Path(inspect.getfile(family))] if family.loss is not Family.loss else []
    code = digest_of_code(HERE / "trainer.py", *stacks, *replays, *losses)
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
        """Steps whose checkpoint is whole and of this training; damaged ones are removed."""
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


# ---------------------------------------------------------------- what another training left

ENDED = ("variant.json", "metrics.json", "curves.csv")  # written when a training has ended


def settle(folder: Folder, key: str) -> str:
    """Set aside what lies there of another training, and take back what was set aside of this one.

    What comes back is a sentence about what was set aside; empty if nothing was. A call that is killed is completed by
    the next one.
    """
    other, said = _other_training(folder, key), ""
    if other:
        aside = folder.replaced(other)
        for path in (folder.checkpoints, folder.path / "resume", *(folder.path / name for name in ENDED)):
            _move(path, aside / path.name)
        for older in folder.replaced("").iterdir():
            if older.name not in (other, key):
                shutil.rmtree(older)
        files = [path for path in aside.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        said = f"The earlier training of `{folder.name}` lies in {aside} ({len(files)} files, {size:.1f} MB)."
    for path in sorted(folder.replaced(key).glob("*")):
        _move(path, folder.path / path.name)
    shutil.rmtree(folder.replaced(key), ignore_errors=True)
    return said


def set_aside_checkpoints(folder: Folder, key: str, keep: set[Path]) -> None:
    """Keep checkpoints that are no longer asked for where `settle` finds them."""
    for path in set(folder.checkpoints.iterdir()) - keep:
        if training_of(path) == key:
            _move(path, folder.replaced(key) / folder.checkpoints.name / path.name)
        else:
            path.unlink()


def _other_training(folder: Folder, key: str) -> str:
    """The key of another training whose checkpoints, states or record lie there; empty if there are none."""
    return next((each for each in _keys_of(folder) if each not in ("", key)), "")


def _keys_of(folder: Folder) -> Iterator[str]:
    for step in folder.checkpoint_steps():
        if own := training_of(folder.checkpoint(step), is_whole=False):
            yield own
    for step in folder.resume_steps():
        if own := metadata_of_file(folder.resume(step)):
            yield own
    if folder.record.is_file():
        yield str(json.loads(folder.record.read_text(encoding="utf-8")).get("key", ""))


def _move(path: Path, to: Path) -> None:
    """Move a file, or a folder file by file into one that may exist."""
    if path.is_dir():
        for each in sorted(path.iterdir()):
            _move(each, to / each.name)
        path.rmdir()
    elif path.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        path.replace(to)


# ---------------------------------------------------------------- what is asked for


def store_of(variant: Variant, folder: Folder, *, is_stacked: bool = False) -> CheckpointStore:
    """The variant's files; a branch may also go on from the states of its parent, which trained alike up to there."""
    branch, parent = variant.branch, None
    if branch is not None:
        key = training_key(replace(variant, branch=None))
        parent = CheckpointStore(Folder(folder.path.parent / branch.parent), key, until=branch.at)
    return CheckpointStore(folder, key_of(variant, is_stacked=is_stacked), parent)


def key_of(variant: Variant, *, is_stacked: bool) -> str:
    """The key of a variant that trains alone, or stacked with its ensemble."""
    return training_key(variant, variant.recipe.ensemble if is_stacked else "")


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
