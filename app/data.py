"""What the pages draw, kept in memory as long as the files that it was made from do not change.

Everything here is a pure function of files, shared by all sessions. The state of one user is in `st.session_state`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from miscope import keys
from miscope.instrument import Artifact, Null, OverTraining, Table, View
from miscope.workspace import Workspace, analysis, status, worker
from miscope.workspace.analysis import Compute
from miscope.workspace.bound_view import BoundView
from miscope.workspace.loaded import LoadedVariant
from miscope.workspace.status import Status

Stamp = int  # a hash of when files last changed, and of their sizes
Options = tuple[tuple[str, Any], ...]  # options that differ from their defaults, by name


@dataclass(frozen=True)
class OpenWorkspace(Workspace):
    """A workspace whose variants are opened once; Outputs that are never stored are computed in a second process."""

    def load(self, variant: str, compute: Compute | None = None) -> "OpenVariant":
        self.config.variant(variant)
        made_from = hash((keys.stamp(self.root / "params.yaml"), keys.stamp(self.folder(variant).probe)))
        return _loaded(self, variant, compute or worker.compute, made_from)


@dataclass(frozen=True)
class OpenVariant(LoadedVariant):
    """A loaded variant whose artifacts, nulls and states are read from disk once."""

    workspace: OpenWorkspace

    @property
    def control(self) -> "OpenVariant | None":
        return self.workspace.load(self.variant.control, self.compute) if self.variant.control else None

    def status(self, instrument: str) -> Status:
        return _status(self.workspace, self.name, instrument, self.stamp(instrument))

    def artifact(self, instrument: str) -> Any:
        return _artifact(self.workspace, self.name, instrument, self.compute, self.stamp(instrument))

    def nulls(self, instrument: str) -> Sequence[Null]:
        return _nulls(self.workspace, self.name, instrument, self.stamp(instrument))

    def bound(self, view: str, step: int, options: Options) -> BoundView:
        """A view at a step; the table of a view over training is made once for all steps."""
        bound = self.at(step).view(view, **dict(options))
        return bound if bound.view.is_per_step else TableOnce(self, bound.view, step, bound.options)

    def stamp(self, *instruments: str) -> Stamp:
        """The stamp of all files that decide whether these instruments' artifacts are fresh."""
        return hash(tuple(_stamp(self.workspace, self.name, instrument) for instrument in instruments))

    @cached_property
    def task_views(self) -> Mapping[str, View]:
        """The views that the variant's family brings, by name; none for most families.

        Raises:
            MiscopeError: they cannot be loaded.
        """
        return self.workspace.catalog.views_of_task(self.variant.family)

    def drawing_stamp(self, instrument: str) -> Stamp:
        """The stamp of all files that a drawing of this instrument shows: its artifact, the phases, the control run."""
        behind = _stamp(self.workspace, self.variant.control, instrument) if self.variant.control else 0
        return hash((self.stamp(instrument, "phases"), behind))


@dataclass(frozen=True)
class TableOnce(BoundView):
    """A view over training: only its marker depends on the step."""

    def tabulated(self) -> Table:
        variant = self.loaded
        assert isinstance(variant, OpenVariant), variant.name
        options = tuple(sorted(self.options.items()))
        return _table(variant.workspace, variant.name, self.view.name, options, variant.stamp(self.view.needs.name))


@lru_cache(maxsize=64)
def _loaded(workspace: OpenWorkspace, variant: str, compute: Compute, made_from: Stamp) -> OpenVariant:
    return OpenVariant(workspace, workspace.config.variant(variant), compute)


@lru_cache(maxsize=1024)
def _status(workspace: OpenWorkspace, variant: str, instrument: str, made_from: Stamp) -> Status:
    return status.status(workspace.config, workspace.folder(variant), instrument)


@lru_cache(maxsize=128)
def _artifact(workspace: OpenWorkspace, variant: str, instrument: str, compute: Compute, made_from: Stamp) -> Any:
    artifact: Any = analysis.artifact(workspace.config, workspace.folder(variant), instrument, compute)
    if getattr(workspace.catalog.instrument(instrument), "is_stored", True):
        return artifact
    # these Outputs are large: only the client of the worker keeps them in memory
    return Artifact(artifact.steps, partial(compute, workspace.root, variant, instrument))


@lru_cache(maxsize=256)
def _nulls(workspace: OpenWorkspace, variant: str, instrument: str, made_from: Stamp) -> Sequence[Null]:
    return analysis.nulls(workspace.config, workspace.folder(variant), instrument)


@lru_cache(maxsize=64)
def _table(workspace: OpenWorkspace, variant: str, view: str, options: Options, made_from: Stamp) -> Table:
    return workspace.load(variant).view(view, **dict(options)).tabulated()


# ---------------------------------------------------------------- stamps


def _stamp(workspace: OpenWorkspace, variant: str, instrument: str) -> Stamp:
    catalog, folder = workspace.catalog, workspace.folder(variant)
    own = catalog.instrument(instrument)
    names = [instrument, *(other.name for other in (own.needs if isinstance(own, OverTraining) else ()))]
    code = [status.code_digest(catalog.plugin(name)) for name in names]
    files = [keys.stamp(path) for path in (workspace.root / "params.yaml", folder.probe, folder.record)]
    folders = [_stamp_of_folder(path) for path in (folder.checkpoints, *map(folder.instrument, names))]
    return hash((*code, *files, *folders))


def _stamp_of_folder(path: Path) -> Stamp:
    if not path.is_dir():
        return 0
    return hash(frozenset((file.name, keys.stamp(file)) for file in path.iterdir()))
