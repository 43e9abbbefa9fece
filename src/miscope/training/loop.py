"""The one training loop: for every step, evaluate, save, update.

A loss at step s is measured with the weights of checkpoint s, train and test alike, in float64. What is asked for and
lies there already is not computed again: killed at any moment and started again, asked for more checkpoints, or for
more steps, a training goes on from the last state that was kept before the first thing missing, and ends with the bytes
of a run that was asked for all of it at once.

Who trains what: `trainer` (a variant alone), `ensemble` (many stacked), `scaling.point` (a point of a study).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from miscope.core import Variant
from miscope.model.memory import keep_freed_memory
from miscope.training.checkpoints import Done, Target, adaptive_steps, key_of, settle, store_of, target_of
from miscope.training.device import Device, device_for
from miscope.training.ensemble import stacked
from miscope.training.graphs import replaying
from miscope.training.record import check_processes, write_training
from miscope.training.trainer import Evaluation, Trainer, lone
from miscope.workspace.files import Folder


def train(
    variant: Variant,
    folder: Folder,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
    members: Sequence[Variant] = (),
    on_notice: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Bring checkpoints, curve, metrics and record of a variant up to date; what comes back is the record.

    `on_notice` is told where an earlier training with other settings or code is kept.

    With `members`, the others of its ensemble, all train side by side, and the checkpoints and states of each come to
    lie in its own folder, beside this one; only this one's record is written.

    Raises:
        MiscopeError: the loss is not finite, or the weights stand still, at a step that it names; or the device is not
            there. What was written before stays, whole, and the next call goes on from it.
    """
    keep_freed_memory()
    device, started = device_for(variant.recipe), time.perf_counter()
    if variant.recipe.threads:
        torch.set_num_threads(variant.recipe.threads)
    everyone = sorted([variant, *members], key=lambda v: v.name)  # the same stack, whoever comes first
    folders = {v.name: folder.beside(v.name) for v in members} | {variant.name: folder}
    if device.writes:
        for v in everyone:
            if said := settle(folders[v.name], key_of(v, is_stacked=bool(members))):
                on_notice(said)
    device.wait()
    stores = {v.name: store_of(v, folders[v.name], is_stacked=bool(members)) for v in everyone}
    check_processes(variant, folder, device)
    own = target_of(variant, stores[variant.name], on_evaluation)
    targets = [own if v is variant else target_of(v, stores[v.name]) for v in everyone]
    done = train_missing(lambda: _trainer(everyone, device), targets, device)
    if variant.adaptive:
        curve = [own.store.curve[step] for step in sorted(own.evaluations)]
        own = target_of(variant, own.store, on_evaluation, more=adaptive_steps(curve, variant.adaptive))
        done = train_missing(lambda: _trainer(everyone, device), [own], device, done)
    return write_training(variant, folder, own, device, done, time.perf_counter() - started) if device.writes else {}


def _trainer(variants: Sequence[Variant], device: Device) -> Trainer:
    """At step 0, its updates launched as CUDA graphs where that gives the same bytes."""
    trainer = stacked(variants, device) if len(variants) > 1 else lone(variants[0], device)
    return replaying(trainer, variants[0].recipe)


def train_missing(
    begin: Callable[[], Trainer], targets: Sequence[Target], device: Device, done: Done | None = None
) -> Done:
    """Compute what is missing, one target a model, stretch by stretch; `begin` makes the Trainer, if one is needed.

    Raises:
        MiscopeError: whatever the Trainer refuses. What was written before stays, whole, and the next call goes on.
    """
    done = done or Done()
    missing = [target.missing() for target in targets]
    device.wait()  # all see the same files, before one writes
    trainer: Trainer | None = None
    for step in sorted(set[int]().union(*missing)):
        trainer = _nearest(trainer, begin, step, targets)
        while True:
            _evaluate_and_save(trainer, targets, missing, done)
            if trainer.step == step:
                break
            trainer.advance()
            done.updates += 1
    done.fallback_reason = done.fallback_reason or (trainer.fallback_reason if trainer else "")
    device.wait()
    return done


def _evaluate_and_save(trainer: Trainer, targets: Sequence[Target], missing: Sequence[set[int]], done: Done) -> None:
    """Evaluate and write what is missing at this step: the curve first, then the checkpoint, then the state."""
    step, writes = trainer.step, trainer.device.writes
    for model, target, steps in zip(trainer.models, targets, missing, strict=True):
        store, is_new = target.store, step in target.checkpoints and step in steps
        keeps_state = step in target.states and step not in store.kept
        if step in steps:
            store.curve[step] = model.evaluate(step)
            target.on_evaluation(store.curve[step])
            steps.remove(step)
        if writes and (is_new or keeps_state):
            store.save_curve()
        if writes and is_new:
            model.save(store.folder.checkpoint(step), step, store.key)
            done.checkpoints += 1
        if writes and keeps_state:
            store.save_state(step, model.state())
        if keeps_state:
            store.kept.add(step)


def _nearest(trainer: Trainer | None, begin: Callable[[], Trainer], step: int, targets: Sequence[Target]) -> Trainer:
    """The trainer itself if it stands before `step`, or moved to the last state kept between the two, or a new one."""
    at = trainer.step if trainer is not None else -1
    kept = set[int].intersection(*(target.store.resume_steps() for target in targets))
    nearest = max((s for s in kept if at < s <= step), default=None)
    trainer = trainer if trainer is not None else begin()
    states = [target.store.state(nearest) for target in targets] if nearest is not None else []
    whole = [state for state in states if state is not None]
    if nearest is not None and len(whole) == len(targets):
        trainer.restore(nearest, whole)
    return trainer
