"""The one training loop: what is asked for and not there is computed from the nearest state, bit-equal to a lone run.

It trains whatever can make an update, evaluate itself and say its state: a variant, a member of a cohort, a point of a
scaling study. It knows neither model nor data nor loss, and no torch.distributed.

Killed at any moment and started again, asked for more checkpoints, or for more steps: each goes on from the last state
that was kept before the first thing missing, and ends with the bytes of a run that was asked for all of it at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from miscope.training.device import Device
from miscope.training.ledger import Ledger


@runtime_checkable
class Trainee(Protocol):
    """Something in training: what the loop evaluates and keeps."""

    @property
    def device(self) -> Device: ...
    @property
    def step(self) -> int: ...
    @property
    def keeps(self) -> set[int]:
        """The steps at which a state to resume from is kept."""
        ...

    def evaluate(self) -> Any: ...
    def state(self) -> dict[str, Tensor]: ...
    def save(self, path: Path, training: str) -> None:
        """Write a checkpoint with the key of its training."""
        ...


@runtime_checkable
class Moving(Trainee, Protocol):
    """A trainee on its own, which the loop moves."""

    @property
    def refused(self) -> str:
        """Why its updates are launched kernel by kernel where a GPU could launch them as one; empty elsewhere."""
        ...

    def advance(self) -> Tensor: ...
    def restore(self, step: int, state: dict[str, Tensor]) -> None: ...


@dataclass
class Work:
    """What one call did, in updates and checkpoints, and why it took longer than it might have."""

    updates: int = 0
    written: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Asked:
    """The steps at which a checkpoint is wanted, and those at which an evaluation is."""

    checkpoints: set[int]
    evaluations: set[int]

    def missing(self, ledger: Ledger) -> set[int]:
        """Steps of which one or the other is not there."""
        return (self.checkpoints - ledger.checkpoint_steps()) | (self.evaluations - ledger.curve.keys())


def fill(
    begin: Callable[[], Moving], asked: Asked, ledger: Ledger, device: Device, work: Work, on_visit: Callable[..., None]
) -> None:
    """Compute what is missing, stretch by stretch. `begin` makes the trainee at step 0, if one is needed.

    Raises:
        MiscopeError: whatever the trainee refuses. What was written before stays, whole, and the next call goes on.
    """
    missing = asked.missing(ledger)
    device.wait()  # all see the same files, before one writes
    trainee: Moving | None = None
    for step in sorted(missing):
        trainee = _nearest(trainee, begin, step, ledger)
        while True:
            visit(trainee, asked.checkpoints, missing, ledger, work, on_visit)
            if trainee.step == step:
                break
            trainee.advance()
            work.updates += 1
    if trainee is not None:
        work.refused = work.refused or trainee.refused
    device.wait()


def visit(
    trainee: Trainee,
    checkpoints: set[int],
    missing: set[int],
    ledger: Ledger,
    work: Work,
    on_visit: Callable[..., None],
) -> None:
    """Evaluate and write what is missing at this step: the curve first, then the checkpoint, then the state."""
    step = trainee.step
    is_new = step in checkpoints and step in missing
    keeps_state = step in trainee.keeps and not ledger.has_state(step)
    if step in missing:
        evaluation = trainee.evaluate()
        ledger.record(evaluation)
        on_visit(evaluation)
        missing.remove(step)
    if keeps_state and not trainee.device.writes:
        ledger.note_state(step)
    if not trainee.device.writes:
        return
    if is_new or keeps_state:
        ledger.save_curve()
    if is_new:
        trainee.save(ledger.folder.checkpoint(step), ledger.key)
        work.written += 1
    if keeps_state:
        ledger.save_state(step, trainee.state())


def _nearest(trainee: Moving | None, begin: Callable[[], Moving], step: int, ledger: Ledger) -> Moving:
    """The trainee itself if it stands before `step`, or moved to the last state kept between the two, or a new one."""
    at = trainee.step if trainee is not None else -1
    kept = max((s for s in ledger.resume_steps() if at < s <= step), default=None)
    trainee = trainee if trainee is not None else begin()
    if kept is not None and (state := ledger.state(kept)) is not None:
        trainee.restore(kept, state)
    return trainee
