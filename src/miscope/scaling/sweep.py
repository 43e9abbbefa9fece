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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from miscope.core import MiscopeError, Recipe
from miscope.scaling import planfile, point
from miscope.scaling.plugins import look_in
from miscope.scaling.results import path as results_path
from miscope.training.device import device_for
from miscope.workspace import files

SCHEMA = 1
UPDATE_FLOPS = 2e7  # what an update costs beside its matmuls, as matmuls; for the bar and the order alone
OnProgress = Callable[[str, int], None]  # id of a point, updates that it has made


def bring_up_to_date(
    root: Path, study: str, jobs: int = 0, on_progress: OnProgress = lambda *_: None
) -> dict[str, Any]:
    """Train what is missing of a study's plan and write results.json; what comes back are its contents.

    Under torchrun only the process that writes gets them. `jobs` points go side by side; 0: as many as there are cores
    for. Their number changes no result.

    Raises:
        MiscopeError: a point fails; those that are done stay, and the next call goes on from them.
    """
    plan = planfile.read(root, study)
    look_in(root)
    runs = planfile.path(root, study).parent / "runs"
    missing = sorted((p for p in plan["points"] if fresh(plan, p, runs) is None), key=cost, reverse=True)
    for done in plan["points"]:
        if done not in missing:
            on_progress(done["id"], done["steps"])
    jobs = min(jobs or default_jobs(plan), max(1, len(missing)))
    if jobs > 1:
        _side_by_side(plan, missing, runs, jobs, on_progress)
    else:
        _one_by_one(plan, missing, runs, on_progress)
    device = device_for(Recipe(steps=1, device=plan["running"]["device"]))
    device.wait()
    return _write_results(root, plan, runs) if device.writes else {}


def fresh(plan: Mapping[str, Any], planned: Mapping[str, Any], runs: Path) -> dict[str, Any] | None:
    """The record of a point, if it is whole and of this content."""
    folder = files.Folder(runs / planned["id"])
    try:
        record = json.loads((folder.path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kept = point.checkpoint_steps(plan, planned) <= set(folder.checkpoint_steps())
    return record if kept and record.get("key") == point.content_key(plan, planned) else None


def cost(planned: Mapping[str, Any]) -> float:
    """What a point is thought to take, in FLOPs."""
    return float(planned["flops_counted"] + UPDATE_FLOPS * planned["steps"])


def default_jobs(plan: Mapping[str, Any]) -> int:
    """One for a GPU or under torchrun; on a CPU as many as the threads of a run go into the cores."""
    if plan["running"]["device"] != "cpu" or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 1
    is_known = hasattr(os, "sched_getaffinity")  # macOS has none
    n_cores = len(os.sched_getaffinity(0)) if is_known else os.cpu_count() or 1
    return max(1, n_cores // plan["running"]["threads"])


def _one_by_one(plan: Mapping[str, Any], missing: list[Mapping[str, Any]], runs: Path, on_progress: OnProgress) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(plan["running"]["threads"])
    try:
        for planned in missing:
            point.train(plan, planned, files.Folder(runs / planned["id"]), _told(planned["id"], on_progress))
    finally:
        torch.set_num_threads(before)


def _told(name: str, on_progress: OnProgress) -> Callable[[int], None]:
    return lambda step: on_progress(name, step)


def _side_by_side(
    plan: Mapping[str, Any], missing: list[Mapping[str, Any]], runs: Path, jobs: int, on_progress: OnProgress
) -> None:
    """Each point in a process of its own kind; the first that fails stops the rest."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        news = manager.Queue()
        executor = ProcessPoolExecutor(jobs, mp_context=context)
        try:
            futures = [executor.submit(_train, plan, planned, runs, news) for planned in missing]
            for _ in _polled(futures, news, on_progress):
                pass
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        executor.shutdown()


def _polled(futures: list[Future[None]], news: Any, on_progress: OnProgress) -> Iterator[None]:
    """Pass on progress until all are done; a failure is raised here."""
    rest = set(futures)
    while rest:
        with suppress(queue.Empty):
            on_progress(*news.get(timeout=0.2))
        done = {future for future in rest if future.done()}
        for future in as_completed(done):
            future.result()
        rest -= done
        yield


def _train(plan: Mapping[str, Any], planned: Mapping[str, Any], runs: Path, news: Any) -> None:
    """A point in a process of its own."""
    torch.set_num_threads(plan["running"]["threads"])
    every = max(1, planned["steps"] // 50)

    def tell(step: int) -> None:
        if step % every == 0 or step == planned["steps"]:
            news.put((planned["id"], step))

    point.train(plan, planned, files.Folder(runs / planned["id"]), tell)


def _write_results(root: Path, plan: Mapping[str, Any], runs: Path) -> dict[str, Any]:
    records = [fresh(plan, planned, runs) for planned in plan["points"]]
    if None in records:  # the code was edited meanwhile
        raise MiscopeError(
            f"The code has changed while `{plan['study']}` ran. Run `dvc repro run@{plan['study']}` again."
        )
    planned = {point["id"] for point in plan["points"]}
    for folder in runs.iterdir():
        if folder.name not in planned:
            shutil.rmtree(folder)
    results = {
        "schema": SCHEMA,
        "study": plan["study"],
        "convention": plan["convention"],
        "entropy": plan["entropy"],
        "points": [{name: value for name, value in record.items() if name != "key"} for record in records if record],
    }
    files.write(results_path(root, plan["study"]), files.pretty_json(results))
    return results
