"""Brings targets up to date as `dvc repro` does, with independent stages side by side.

DVC says what is stale, and what a stage leaves is committed to DVC by DVC itself: outs, locks and cache are those of
`dvc repro`. Stages that measure or draw run in processes forked from one that has imported everything already; a
training gets all cores, as it would alone, so its bytes do not depend on what runs beside it.
"""

import ctypes
import logging
import multiprocessing
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tqdm import tqdm

from miscope.core import MiscopeError
from miscope.instrument import PerCheckpoint
from miscope.workspace import Workspace, stage_files
from miscope.workspace.analysis import reads_activations

LOGS = Path("artifacts/.jobs/logs")
FLUSH_S, LOOK_S, SHOW_S = 5.0, 0.02, 0.5
WARM = ("analyze", "render", "probe", "report")  # run on one core, in a process that is forked
PRELOADED = [
    "torch", "scipy.stats", "miscope.workspace.analysis", "miscope.workspace.drawing", "miscope.model.inspection",
    "miscope.model.differentiation", "miscope.renderers.drawn", "miscope.report.page", "miscope.report.timeline",
]  # fmt: skip


@dataclass
class Outcome:
    """What a run did, by the names of the stages."""

    ran: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # -> its last line
    skipped: list[str] = field(default_factory=list)  # for what they depend on failed
    n_fresh: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  # that each stage took
    written: list[str] = field(default_factory=list)  # stage files of instruments that had none

    def lines(self) -> Iterator[str]:
        """What to print in the end."""
        yield from self.written
        for name, why in self.failed.items():
            yield f"{name} failed: {why} (log: {LOGS / _file_name(name)})"
        if self.skipped:
            yield f"{len(self.skipped)} stages that depend on them were not run: {', '.join(self.skipped[:6])}" + (
                ", ..." if len(self.skipped) > 6 else ""
            )
        slowest = sorted(self.seconds.items(), key=lambda item: -item[1])[:3]
        if slowest and slowest[0][1] > 2:
            yield f"The slowest: {', '.join(f'{name} {seconds:.0f} s' for name, seconds in slowest)}."
        yield f"{len(self.ran)} stages ran, {self.n_fresh} were up to date, {len(self.failed)} failed."


@dataclass
class _Task:
    """A stage at work."""

    stage: Any
    process: Any  # of multiprocessing, or a Popen
    cores: int
    alone: str  # no two tasks of this name at a time; empty: it does not matter
    log: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def code(self) -> int | None:
        """The exit status; None while it runs."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return None if self.process.exitcode is None else int(self.process.exitcode)

    def said(self) -> str:
        """How far it says it is: `45%`."""
        marks = re.findall(rb"(\d+)%\|", _tail(self.log))
        return f" {marks[-1].decode()}%" if marks else ""

    def why(self) -> str:
        lines = [line for line in re.split(r"[\r\n]+", _tail(self.log).decode(errors="replace")) if line.strip()]
        return (lines[-1] if lines else f"exit status {self.code}").removeprefix("error: ")


def run(root: Path, targets: Sequence[str] = (), cores: int = 0, *, is_quiet: bool = False) -> Outcome:
    """Bring targets, or the whole workspace, up to date on so many cores; 0: all that this machine has.

    Raises:
        MiscopeError: there is no such target, or another process has DVC's lock.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo, lock_repo

    os.chdir(root)
    workspace = Workspace(Path())
    written = stage_files.bring_up_to_date(workspace)
    logging.getLogger("dvc").setLevel(logging.ERROR)
    logging.getLogger("dvc_objects").setLevel(logging.ERROR)
    try:
        with Repo(".") as repo, lock_repo(repo), repo.scm_context(quiet=True):
            order, graph = _plan(repo, targets)
            runner = _Runner(repo, workspace, order, graph, cores or os.cpu_count() or 1, is_quiet)
            runner.outcome.written = written
            runner.forced = {"keys"} if _has_code_elsewhere(workspace) else set()
            return runner.run()
    except LockError:
        raise MiscopeError("Another `dvc` or `miscope run` is at work in this workspace; wait until it ends.") from None
    except DvcException as error:
        raise MiscopeError(" ".join(str(error).split())) from None


def _has_code_elsewhere(workspace: Workspace) -> bool:
    """Whether plugins of other packages are in use: DVC does not watch their code, the stage `keys` looks at it."""
    is_outside = any(plugin.is_outside for plugin in workspace.catalog.plugins.values())
    return is_outside or any(variant.family_code for variant in workspace.variants.values())


def _plan(repo: Any, targets: Sequence[str]) -> tuple[list[Any], Any]:
    """The stages in the order of `dvc repro`, and the graph: an edge leads from a stage to what it depends on."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    graph = get_active_graph(repo.index.graph)
    return plan_repro(graph, collect_stages(repo, targets or ["dvc.yaml"])), graph


class _Runner:
    def __init__(
        self, repo: Any, workspace: Workspace, order: list[Any], graph: Any, cores: int, is_quiet: bool
    ) -> None:
        self.workspace = workspace
        self.repo, self.order, self.cores, self.is_quiet = repo, order, cores, is_quiet
        self.environment = dict(os.environ)
        self.forced = set[str]()  # run though DVC sees no reason to
        chosen = set(order)
        self.upstream = {stage: [s for s in graph.successors(stage) if s in chosen] for stage in order}
        self.outcome, self.done, self.dropped = Outcome(), set[Any](), set[Any]()
        self.waiting, self.tasks, self.ended = list(order), list[_Task](), list[Any]()
        self.unwritten: list[Any] = []
        self.locked = {path: _names(path) for path in {_lock_of(stage) for stage in order}}  # names before this run
        self.flushed = self.shown = time.monotonic()

    def run(self) -> Outcome:
        with _progress(len(self.order), self.is_quiet) as bar:
            try:
                while self.waiting or self.tasks or self.ended:
                    self._collect()
                    self._start()
                    self._commit()
                    self._show(bar)
                    if time.monotonic() - self.flushed > FLUSH_S:
                        self._write_locks()
                    if self.tasks and not self.ended:
                        time.sleep(LOOK_S)
            finally:
                for task in self.tasks:
                    task.process.terminate()
                while self.ended:
                    self._commit()
                self._write_locks()
                self._put_locks_in_order()
        return self.outcome

    def _show(self, bar: Any) -> None:
        n = len(self.done) + len(self.dropped)
        if n != bar.n or time.monotonic() - self.shown > SHOW_S:
            self.shown, bar.n = time.monotonic(), n
            bar.set_postfix_str(
                ", ".join(task.stage.addressing + task.said() for task in self.tasks[:3]), refresh=False
            )
            bar.refresh()

    def _start(self) -> None:
        """Start stages whose inputs are there, in order, while cores are free; skip those that are up to date."""
        free = self.cores - sum(task.cores for task in self.tasks)
        for stage in sorted(self.waiting, key=lambda stage: bool(_warm_words(stage.cmd))):  # trainings first
            if free <= 0:
                return
            if self.dropped.intersection(self.upstream[stage]):
                self.waiting.remove(stage)
                self.dropped.add(stage)
                self.outcome.skipped.append(stage.addressing)
            elif self.done.issuperset(self.upstream[stage]):
                cores, alone = 1 if _warm_words(stage.cmd) else self.cores, self._alone(stage)
                if cores > free or (alone and alone in {task.alone for task in self.tasks}):
                    continue
                self.waiting.remove(stage)
                if stage.addressing not in self.forced and not stage.changed(upstream=self.upstream[stage]):
                    self.outcome.n_fresh += 1
                    self.done.add(stage)
                else:
                    if Path(stage.cmd.split()[-2]).stem == "train":
                        _forks(is_started=True)  # it imports while the training runs
                    self.tasks.append(self._begin(stage, cores, alone))
                    free -= cores

    def _alone(self, stage: Any) -> str:
        """The variant, for instruments that read activations: the first to run computes them for all."""
        words = _warm_words(stage.cmd)
        is_analysis = bool(words) and Path(words[0]).stem == "analyze"
        if not is_analysis or words[2] in self.workspace.catalog.faults:
            return ""
        instrument = self.workspace.catalog.instrument(words[2])
        return words[1] if isinstance(instrument, PerCheckpoint) and reads_activations(instrument) else ""

    def _begin(self, stage: Any, cores: int, alone: str) -> _Task:
        log = LOGS / _file_name(stage.addressing)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        stage.remove_outs(ignore_remove=False, force=False)
        stage.save_deps()
        if words := _warm_words(stage.cmd):
            process: Any = _forks().Process(target=_work, args=(words, str(log)))
            process.start()
        else:
            with log.open("wb") as file:
                process = subprocess.Popen(
                    shlex.split(stage.cmd), env=self.environment, stdout=file, stderr=subprocess.STDOUT,
                    preexec_fn=_die_with_parent,
                )  # fmt: skip
        return _Task(stage, process, cores, alone, log)

    def _collect(self) -> None:
        """What has ended well is done; whatever depends on what failed is dropped."""
        for task in [task for task in self.tasks if task.code is not None]:
            self.tasks.remove(task)
            self.outcome.seconds[task.stage.addressing] = time.monotonic() - task.began
            if task.code:
                self.outcome.failed[task.stage.addressing] = task.why()
                self.dropped.add(task.stage)
            else:
                self.done.add(task.stage)
                self.ended.append(task.stage)

    def _commit(self) -> None:
        """Hand the outs of one stage that has ended to DVC, while others are at work."""
        if self.ended:
            stage = self.ended.pop(0)
            no_cache = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
            stage.save(run_cache=not no_cache)
            stage.commit()
            self.unwritten.append(stage)
            self.outcome.ran.append(stage.addressing)

    def _write_locks(self) -> None:
        self.flushed = time.monotonic()
        for path in {stage.dvcfile.path for stage in self.unwritten}:
            own = [stage for stage in self.unwritten if stage.dvcfile.path == path]
            own[0].dvcfile.dump_stages(own, update_pipeline=False)
        self.unwritten = []

    def _put_locks_in_order(self) -> None:
        """New entries in the order in which `dvc repro` would have written them."""
        from dvc.utils.serialize import modify_yaml

        ran = set(self.outcome.ran)
        for path, before in self.locked.items():
            new = [s.name for s in self.order if _lock_of(s) == path and s.addressing in ran and s.name not in before]
            if [name for name in _names(path) if name not in before] != new:
                with modify_yaml(str(path)) as data:
                    for name in new:
                        data["stages"][name] = data["stages"].pop(name)


def _lock_of(stage: Any) -> Path:
    return Path(stage.dvcfile.path).with_name("dvc.lock")


def _names(path: Path) -> list[str]:
    """Names of the stages in a lock file, in order, as the text says them."""
    return re.findall(r"^  (\S+):$", path.read_text(encoding="utf-8"), re.M) if path.is_file() else []


def _warm_words(command: Any) -> list[str]:
    """`stages/render.py tiny losses` as words, for a stage that may be forked; none for any other."""
    words = shlex.split(command) if isinstance(command, str) else []
    words = words[2:] if words[:2] == ["env", "OMP_NUM_THREADS=1"] else words
    is_warm = words[:1] == ["python"] and len(words) > 1 and Path(words[1]).stem in WARM
    return words[1:] if is_warm else []


def _forks(*, is_started: bool = False) -> Any:
    """The context of processes that are forked from one which has imported everything, on one thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    os.environ["OMP_NUM_THREADS"] = "1"  # of that process; a training's is set by its own command
    if is_started:
        forkserver.ensure_running()
    return context


def _work(words: list[str], log: str) -> None:
    """Run the script of a stage as `python` would, all that it says into a file."""
    _die_with_parent()
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = words
    sys.path[0] = str(Path(words[0]).parent)
    runpy.run_path(words[0], run_name="__main__")


def _die_with_parent() -> None:
    """Ask Linux to end this process when the one that started it is killed; elsewhere it works on to its end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2000))
            return file.read()
    except OSError:
        return b""


def _file_name(stage: str) -> str:
    return re.sub(r"[^A-Za-z0-9@_-]+", "-", stage.replace("/dvc.yaml:", "-").removeprefix("stages/")) + ".log"


@contextmanager
def _progress(n: int, is_quiet: bool) -> Iterator[Any]:
    shape = "{desc}: {n_fmt}/{total_fmt} stages [{elapsed}<{remaining}] {postfix}"
    with tqdm(total=n, desc="run", bar_format=shape, mininterval=0.2, disable=is_quiet) as bar:
        yield bar


def lines(root: Path, targets: Iterable[str], cores: int) -> Iterator[str]:
    """Run, and say what happened.

    Raises:
        MiscopeError: a stage failed; the lines before say which.
    """
    outcome = run(root, list(targets), cores)
    yield from outcome.lines()
    if outcome.failed:
        raise MiscopeError(f"{len(outcome.failed)} stages failed.")
