"""A variant with the contents of its folder: checkpoints, artifacts and views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from miscope.core import Checkpoint, Context, MiscopeError, Variant
from miscope.instrument import Null, View
from miscope.workspace import Workspace, analysis, status, store
from miscope.workspace.analysis import Compute, compute_at
from miscope.workspace.bound_view import BoundView
from miscope.workspace.files import Folder
from miscope.workspace.status import Status


@dataclass(frozen=True)
class LoadedVariant:
    """A variant of a workspace, trained or not."""

    workspace: Workspace
    variant: Variant
    compute: Compute = compute_at  # computes Outputs that are never stored

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def label(self) -> str:
        return self.variant.label

    @property
    def folder(self) -> Folder:
        return self.workspace.folder(self.name)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the checkpoints on disk; empty before training."""
        return self.folder.checkpoint_steps()

    @cached_property
    def context(self) -> Context:
        """The probe and its context, written by the stage `probe`."""
        if not self.folder.probe.is_file():
            raise MiscopeError(f"`{self.name}` has no probe. Run `{status.command(self.name)}`.")
        return store.load_context(self.folder.probe)

    @cached_property
    def control(self) -> "LoadedVariant | None":
        """The variant's control run, if params.yaml names one."""
        return self.workspace.load(self.variant.control, self.compute) if self.variant.control else None

    def status(self, instrument: str) -> Status:
        """Whether the instrument's artifact is fresh, stale, missing or not applicable, and the command to run."""
        return status.status(self.workspace.config, self.folder, instrument)

    def artifact(self, instrument: str) -> Any:
        """An instrument's Outputs: a mapping step -> Output, or the one Output over training."""
        return analysis.artifact(self.workspace.config, self.folder, instrument, self.compute)

    def nulls(self, instrument: str) -> Sequence[Null]:
        """What chance would show, for each of the instrument's views."""
        return analysis.nulls(self.workspace.config, self.folder, instrument)

    def at(self, step: int) -> "VariantAt":
        """The variant at one of its checkpoints.

        Raises:
            MiscopeError: there is no checkpoint at this step; the error names the nearest.
        """
        if step not in self.steps:
            near = min(self.steps, key=lambda s: abs(s - step), default=None)
            hint = (
                f"the nearest is {near}"
                if near is not None
                else f"it is not trained; run `{status.command(self.name)}`"
            )
            raise MiscopeError(f"`{self.name}` has no checkpoint at step {step}: {hint}.")
        return VariantAt(self, step)

    def view(self, name: str, **options: Any) -> BoundView:
        """A view over training, or a view of the last checkpoint. `python -m miscope views` lists all views."""
        return BoundView(self, self.declared(name, options), None, options)

    def declared(self, name: str, options: Mapping[str, Any] = MappingProxyType({})) -> View:
        """The view with this name, from the catalog or from the variant's family.

        Raises:
            MiscopeError: there is none, or it has no such option.
        """
        view = self.workspace.catalog.view(name, self.variant.family)
        for key in options:
            if key not in view.options:
                raise MiscopeError(
                    f"The view `{view.name}` has no option `{key}`; it has: {', '.join(view.options) or 'none'}."
                )
        return view


@dataclass(frozen=True)
class VariantAt:
    """A variant at one checkpoint."""

    loaded: LoadedVariant
    step: int

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The weights, by TransformerLens' names."""
        return store.load_checkpoint(self.loaded.folder.checkpoint(self.step))

    def view(self, name: str, **options: Any) -> BoundView:
        """A view at this step; a view over training marks the step."""
        return BoundView(self.loaded, self.loaded.declared(name, options), self.step, options)

    def bridge(self) -> Any:
        """The model at this step as a TransformerLens `TransformerBridge`."""
        from miscope.adapters.transformer_lens import bridge

        return bridge(self.checkpoint)
