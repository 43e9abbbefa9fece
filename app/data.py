"""What the pages draw, remembered for as long as the files it was made from stay as they are.

Everything here is a pure function of files, shared by all sessions; what one user does lives in `st.session_state`.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from miscope import api, catalog
from miscope.instrument import Artifact, OverTraining, PerCheckpoint
from miscope.workspace import analysis, configuration, files, status, worker

Stamp = int  # of files: when they last changed, and their sizes
Options = tuple[tuple[str, Any], ...]  # options that differ from their defaults, by name


@dataclass(frozen=True)
class Remembered(api.LoadedVariant):
    """A loaded variant whose artifacts and states are opened once."""

    @property
    def twin(self) -> "Remembered | None":
        return load(self.root, self.variant.twin) if self.variant.twin else None

    def status(self, instrument: str) -> status.Status:
        return _status(self.root, self.name, instrument, stamp(self.root, self.name, instrument))

    def artifact(self, instrument: str) -> Any:
        return _artifact(self.root, self.name, instrument, stamp(self.root, self.name, instrument))

    def bound(self, name: str, step: int, options: Options) -> api.BoundView:
        """A view at a step; a table over training is made once, and not again for each step."""
        view = self.at(step).view(name, **dict(options))
        return view if view.view.is_per_step else TableOnce(view.loaded, view.view, view.step, view.options)


@dataclass(frozen=True)
class TableOnce(api.BoundView):
    """A view over training: only its marker depends on the step."""

    def table(self) -> pd.DataFrame:
        root, name = self.loaded.root, self.loaded.name
        made_from = stamp(root, name, self.view.needs.name)
        return _table(root, name, self.view.name, tuple(sorted(self.options.items())), made_from)


def load(root: Path, name: str) -> Remembered:
    """A variant that params.yaml declares, trained or not.

    Raises:
        MiscopeError: params.yaml declares no such variant, or is not valid.
    """
    configuration.load(root).variant(name)
    return _loaded(root, name, _of_files([root / "params.yaml", files.folder_of(root, name).probe]))


@lru_cache(maxsize=64)
def _loaded(root: Path, name: str, made_from: Stamp) -> Remembered:
    return Remembered(root, configuration.load(root).variant(name), worker.compute)


@lru_cache(maxsize=1024)
def _status(root: Path, variant: str, instrument: str, made_from: Stamp) -> status.Status:
    return status.status(root, variant, instrument)


@lru_cache(maxsize=128)
def _artifact(root: Path, variant: str, instrument: str, made_from: Stamp) -> Any:
    analyzer = catalog.instrument(instrument)
    found = analysis.artifact(root, variant, instrument, worker.compute)
    if isinstance(analyzer, PerCheckpoint) and not analyzer.is_stored:  # large: the worker's client alone keeps them
        return Artifact(
            files.folder_of(root, variant).checkpoint_steps(), partial(worker.compute, root, variant, instrument)
        )
    return found


@lru_cache(maxsize=64)
def _table(root: Path, variant: str, view: str, options: Options, made_from: Stamp) -> pd.DataFrame:
    return load(root, variant).view(view, **dict(options)).table()


# ---------------------------------------------------------------- what an artifact was made from


def stamp(root: Path, variant: str, instrument: str) -> Stamp:
    """Of all files that the state of an instrument's artifact depends on."""
    folder, analyzer = files.folder_of(root, variant), catalog.instrument(instrument)
    needed = analyzer.needs if isinstance(analyzer, OverTraining) else ()
    names = [instrument, *(other.name for other in needed)]
    code = [path for name in names for path in catalog.sources(name)]
    folders = [_of_folder(path) for path in (folder.checkpoints, *map(folder.instrument, names))]
    return hash((_of_files([root / "params.yaml", folder.probe, folder.record, *code]), *folders))


def variant_stamp(root: Path, variant: str) -> Stamp:
    """Of all files that any instrument's artifact of a variant depends on."""
    return hash(tuple(stamp(root, variant, name) for name in catalog.instruments()))


def drawing_stamp(loaded: Remembered, instrument: str) -> Stamp:
    """Of all that a drawing of this instrument depends on: its artifact, and what is drawn behind every step axis."""
    own = tuple(stamp(loaded.root, loaded.name, name) for name in (instrument, *catalog.trackers()))
    return hash((own, stamp(loaded.root, loaded.variant.twin, instrument) if loaded.variant.twin else 0))


def _of_files(paths: Iterable[Path]) -> Stamp:
    return hash(tuple((str(path), *_changed(path)) for path in paths))


def _of_folder(path: Path) -> Stamp:
    if not path.is_dir():
        return 0
    with os.scandir(path) as entries:
        return hash(tuple(sorted((e.name, (s := e.stat()).st_mtime_ns, s.st_size) for e in entries)))


def _changed(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
