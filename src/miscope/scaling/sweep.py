"""The points of a plan, trained one after another or side by side, and their records in one file.

    artifacts/scaling/<study>/plan.json
                             /runs/<id>/run.json          the record of a point, whole
                             /runs/<id>/checkpoints/      where the study keeps them
                             /runs/<id>/resume/           states to go on from, while a point is not done
                             /results.json

A point whose record is of the same content is left as it lies; one that is no longer planned is removed.
"""

import json
import multiprocessing
import os
import queue
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from miscope import catalog, keys
from miscope.core import MiscopeError, Recipe
from miscope.model.memory import keep_freed_memory
from miscope.scaling import documents
from miscope.scaling.documents import Plan, Point, Record, Records, plain
from miscope.scaling.plugins import probed
from miscope.scaling.point import EvalPoint, key_of, plugins_of, recipe_of, trainer_of
from miscope.training.checkpoints import CheckpointStore, Target
from miscope.training.device import Device, device_for, versions
from miscope.training.loop import train_missing
from miscope.training.trainer import below
from miscope.workspace import files
from miscope.workspace.files import Folder

UPDATE_FLOPS = 2e7  # what an update costs beside its matmuls, as matmuls; for the bar and the order alone
OnProgress = Callable[[str, int], None]  # id of a point, updates that it has made


def bring_up_to_date(
    root: Path, study: str, jobs: int = 0, on_progress: OnProgress = lambda *_: None
) -> Records | None:
    """Train what is missing of a study's plan and write results.json; what comes back is its content.

    Under torchrun only the process that writes gets it. `jobs` points go side by side; 0: as many as there are cores
    for. Their number changes no result.

    Raises:
        MiscopeError: a point fails; those that are done stay, and the next call goes on from them.
    """
    plan, runs = documents.read_plan(root, study), documents.path(root, study, "runs")
    catalog.look_in(root)
    missing = sorted((p for p in plan.points if fresh(plan, p, runs) is None), key=cost, reverse=True)
    for done in plan.points:
        if done not in missing:
            on_progress(done.id, done.steps)
    jobs = min(jobs or default_jobs(plan), max(1, len(missing)))
    if jobs > 1:
        _side_by_side(plan, missing, runs, jobs, on_progress)
    else:
        before = torch.get_num_threads()
        try:
            for planned in missing:
                train(plan, planned, runs, on_progress)
        finally:
            torch.set_num_threads(before)
    device = device_for(Recipe(steps=1, device=plan.running.device))
    device.wait()
    return _written_results(root, plan, runs) if device.writes else None


def fresh(plan: Plan, planned: Point, runs: Path) -> Record | None:
    """The record of a point, if it is whole and of this content."""
    folder = Folder(runs / planned.id)
    try:
        content = json.loads((folder.path / "run.json").read_text(encoding="utf-8"))
        if content["key"] != key_of(plan, planned).digest:
            return None
        record: Record = documents.typed(Record, content)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return record if checkpoint_steps(plan, planned) <= set(folder.checkpoint_steps()) else None


def checkpoint_steps(plan: Plan, planned: Point) -> set[int]:
    """0, powers of 2 and the last step, if checkpoints are kept."""
    powers = {2**i for i in range(planned.steps.bit_length()) if 2**i < planned.steps}
    return {0, *powers, planned.steps} if plan.running.keep_checkpoints else set()


def cost(planned: Point) -> float:
    """What a point is thought to take, in FLOPs."""
    return planned.flops_counted + UPDATE_FLOPS * planned.steps


def default_jobs(plan: Plan) -> int:
    """One for a GPU or under torchrun; on a CPU as many as the threads of a run go into the cores."""
    if plan.running.device != "cpu" or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 1
    is_known = hasattr(os, "sched_getaffinity")  # macOS has none
    n_cores = len(os.sched_getaffinity(0)) if is_known else os.cpu_count() or 1
    return max(1, n_cores // plan.running.threads)


def _side_by_side(plan: Plan, missing: Sequence[Point], runs: Path, jobs: int, on_progress: OnProgress) -> None:
    """Each point in a process of its own kind; the first that fails stops the rest."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        news = manager.Queue()
        executor = ProcessPoolExecutor(jobs, mp_context=context)
        try:
            rest = {executor.submit(_train_elsewhere, plan, planned, runs, news) for planned in missing}
            while rest:
                with suppress(queue.Empty):
                    on_progress(*news.get(timeout=0.2))
                done = {future for future in rest if future.done()}
                rest -= done
                for future in done:
                    future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        executor.shutdown()


def _train_elsewhere(plan: Plan, planned: Point, runs: Path, news: Any) -> None:
    """A point in a process of its own, which tells of fifty updates and the last."""
    told = {*range(0, planned.steps, max(1, planned.steps // 50)), planned.steps}
    train(plan, planned, runs, lambda name, step: news.put((name, step)) if step in told else None)


def _written_results(root: Path, plan: Plan, runs: Path) -> Records:
    records = tuple(record for planned in plan.points if (record := fresh(plan, planned, runs)))
    if len(records) < len(plan.points):
        raise MiscopeError(f"The code has changed while `{plan.study}` ran. Run `dvc repro run@{plan.study}` again.")
    for folder in runs.iterdir():
        if folder.name not in {planned.id for planned in plan.points}:
            shutil.rmtree(folder)
    results = Records(records, plan.study, plan.convention, plan.entropy)
    documents.write(documents.path(root, plan.study, "results.json"), results)
    return results


def train(plan: Plan, planned: Point, runs: Path, on_progress: OnProgress) -> None:
    """Bring a point up to date in its folder.

    Raises:
        MiscopeError: the loss is not finite, the data are others than at planning, or they end too soon.
    """
    keep_freed_memory()
    torch.set_num_threads(plan.running.threads)
    folder, dataset = Folder(runs / planned.id), plugins_of(planned)[1]
    if probed(dataset).digest != plan.data.digest:
        raise MiscopeError(
            f"{dataset.target} gives different data than when the plan was made. Run `dvc repro -f plan@{plan.study}`."
        )
    recipe, key, steps = recipe_of(plan, planned), key_of(plan, planned).digest, planned.steps
    device, checkpoints = device_for(recipe), checkpoint_steps(plan, planned)
    own = keys.digest(keys.canonical_json([key, device.describe(), versions()]))
    store = CheckpointStore(folder, own, evaluation=EvalPoint.of)
    n_states = max(1, recipe.resume_points)  # the record is made from the one at the last step
    states = {round(steps * i / n_states) for i in range(1, n_states + 1)}
    target = Target(store, checkpoints, checkpoints | {steps}, states)
    train_missing(lambda: trainer_of(plan, planned, lambda step: on_progress(planned.id, step)), [target], device)
    if device.writes:
        record = _record(planned, store, device)
        files.sweep(folder.checkpoints, keep={folder.checkpoint(step) for step in checkpoints})
        files.write(folder.path / "run.json", files.pretty_json(plain(record) | {"key": key}))
        files.sweep(folder.path / "resume", keep=set())


def _record(planned: Point, store: CheckpointStore, device: Device) -> Record:
    """What was trained, on what, at what cost, how it ended."""
    last: EvalPoint = store.curve[planned.steps]
    if abs(last.tokens - planned.tokens) > planned.tokens / planned.steps:
        raise MiscopeError(
            f"Point {planned.id} saw {last.tokens:,} tokens; planned were {planned.tokens:,}. Batches differ in size; "
            "a dataset must give as many `labels` in each."
        )
    model, dataset, loss = plugins_of(planned)
    arrays = {name: value.numpy() for name, value in below("model.", store.state(planned.steps) or {}).items()}
    return Record(
        id=planned.id, budget=planned.budget, parameters=planned.parameters, tokens=last.tokens, loss=last.loss,
        target_parameters=planned.target_parameters, parameters_total=planned.parameters_total, steps=planned.steps,
        epochs=planned.epochs, learning_rate=planned.learning_rate, seed=planned.seed, settings=model.settings,
        curve=tuple((seen.step, seen.tokens, seen.loss) for _, seen in sorted(store.curve.items())),
        flops_6nd=6.0 * planned.parameters * last.tokens,
        flops_counted=planned.flops_counted * last.tokens / planned.tokens, seconds=round(last.seconds, 2),
        device=device.torch.type, device_info=device.describe(), versions=versions(), model_class=model.target,
        dataset_class=dataset.target, loss_class=loss.target, schedule=planned.config.recipe["schedule"],
        config_hash=keys.digest(keys.canonical_json(plain(planned.config))), weights=keys.digest_of_arrays(arrays),
    )  # fmt: skip
