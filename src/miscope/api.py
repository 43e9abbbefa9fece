"""The notebook's door, and the app's: load a variant, ask it for a view.

variant = miscope.load_variant("calibration")
variant.view("losses").show()
variant.at(4_000).view("neuron_spectra.clusters").export("png")
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from miscope import analysis, catalog, config, freshness, store
from miscope.analysis import Compute, compute_at
from miscope.core import Checkpoint, Context, Family, MiscopeError, NotApplicable, Variant, View
from miscope.freshness import Status

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FORMATS = ("html", "json", "png", "svg", "pdf", "gif", "csv", "parquet")


def load_family(name: str) -> type[Family]:
    """The family's class: its fields are the task's settings.

    Raises:
        MiscopeError: there is no such family; the error names the nearest.
    """
    return catalog.family(name)


def load_variant(name: str, root: str | Path = ".", compute: Compute = compute_at) -> "LoadedVariant":
    """A variant that params.yaml in the folder `root` declares, trained or not.

    Raises:
        MiscopeError: params.yaml declares no such variant, or is not valid.
    """
    return LoadedVariant(Path(root), config.load(Path(root)).variant(name), compute)


def variants(root: str | Path = ".") -> tuple[str, ...]:
    """The names of all variants that params.yaml declares."""
    return tuple(config.load(Path(root)).variants)


@dataclass(frozen=True)
class LoadedVariant:
    """A variant with what lies in its folder."""

    root: Path
    variant: Variant
    compute: Compute = compute_at  # how an instrument that is never stored is computed

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def label(self) -> str:
        return self.variant.label

    @property
    def folder(self) -> store.Folder:
        return store.folder(self.root, self.name)

    @property
    def steps(self) -> tuple[int, ...]:
        """The checkpoints that lie on disk; empty before training."""
        return self.folder.checkpoint_steps()

    @cached_property
    def context(self) -> Context:
        """The probe and its context, as the `probe` stage wrote them."""
        if not self.folder.probe.is_file():
            raise MiscopeError(f"`{self.name}` has no probe. Run `{freshness.command(self.name)}`.")
        return store.load_context(self.folder.probe)

    @cached_property
    def twin(self) -> "LoadedVariant | None":
        """The variant that must fail where this one succeeds, if params.yaml names one."""
        return load_variant(self.variant.twin, self.root, self.compute) if self.variant.twin else None

    def status(self, instrument: str) -> Status:
        """Whether the instrument's artifact is fresh, stale, missing or not applicable, and what to do."""
        return freshness.status(self.root, self.name, instrument)

    def artifact(self, instrument: str) -> Any:
        """What an instrument found: a mapping step -> Output, or the one Output of a tracker."""
        return analysis.artifact(self.root, self.name, instrument, self.compute)

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
                else f"it is not trained; run `{freshness.command(self.name)}`"
            )
            raise MiscopeError(f"`{self.name}` has no checkpoint at step {step}: {hint}.")
        return VariantAt(self, step)

    def view(self, name: str, **options: Any) -> "BoundView":
        """A view of this variant; one that shows a single step shows the last. See `python -m miscope views`."""
        return BoundView(self, _checked(catalog.view(name), options), None, options)


@dataclass(frozen=True)
class VariantAt:
    """A variant at one checkpoint."""

    loaded: LoadedVariant
    step: int

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The weights, under TransformerLens' names."""
        return store.load_checkpoint(self.loaded.folder.checkpoint(self.step))

    def view(self, name: str, **options: Any) -> "BoundView":
        """A view at this step; one over training marks it."""
        return BoundView(self.loaded, _checked(catalog.view(name), options), self.step, options)

    def bridge(self) -> Any:
        """The model at this step as a TransformerLens `TransformerBridge`."""
        from miscope.adapters.transformer_lens import bridge

        return bridge(self.checkpoint)


def _checked(view: View, options: Mapping[str, Any]) -> View:
    for key in options:
        if key not in view.options:
            raise MiscopeError(
                f"The view `{view.name}` has no option `{key}`; it has: {', '.join(view.options) or 'none'}."
            )
    return view


@dataclass(frozen=True)
class BoundView:
    """A view of one variant, perhaps at one step, with its options."""

    loaded: LoadedVariant
    view: View
    step: int | None
    options: Mapping[str, Any]
    has_twin: bool = True  # whether the curves of the variant's twin are drawn too, where it has one

    def alone(self) -> "BoundView":
        """The view without the variant's twin."""
        return replace(self, has_twin=False)

    def table(self) -> "pd.DataFrame":
        """The numbers that the figure draws: one tidy table.

        Raises:
            MiscopeError: the artifact is missing or stale, or an option names a layer or a neuron that is not there.
        """
        artifact = self.loaded.artifact(self.view.needs.name)
        at = (self._shown_step(),) if self.view.is_per_step else ()
        try:
            return self.view.table(artifact, self.loaded.context, *at, **self.options)
        except IndexError as error:
            if not self.options:
                raise
            said = ", ".join(f"{name} = {value}" for name, value in self.options.items())
            raise MiscopeError(f"`{self.view.name}` has nothing at {said}: {error}.") from None

    def null(self) -> str:
        """Whether what the view shows is beyond what chance would show, in a sentence."""
        return str(self.table().attrs["null"])

    def figure(self) -> "go.Figure":
        """The drawing, as a Plotly figure."""
        from miscope.renderers import Frame

        step = self._shown_step() if self.view.is_per_step else self.step
        frame = Frame(question=self.view.question, subtitle=self.loaded.label, step=step, phases=self._phases())
        return self.view.draw(self._drawn_table(), frame)

    def _drawn_table(self) -> "pd.DataFrame":
        """The view's table, and the twin's below it where the twin has what is asked for: it may lack a layer."""
        own, twin = self.table(), self._twin()
        if twin is None:
            return own
        try:
            return self._beside(own, twin)
        except MiscopeError:
            return own

    def _twin(self) -> "BoundView | None":
        """The view of the twin, where curves lie over each other and its artifact is fresh."""
        from miscope.renderers import lays_over

        twin = self.loaded.twin
        if not (self.has_twin and twin and lays_over(self.view.draw)) or self.view.is_per_step:
            return None
        return replace(self, loaded=twin) if twin.status(self.view.needs.name).state == "fresh" else None

    def _beside(self, own: "pd.DataFrame", twin: "BoundView") -> "pd.DataFrame":
        """The view's table with the twin's below it, and its own words alone."""
        from miscope.views.shared.tidy import joined

        found = joined([own, twin.table()], [self.loaded.name, f"its twin {twin.loaded.name}"], "variant")
        found.attrs = {key: value for key, value in own.attrs.items() if key not in ("limits", "bands")}
        return found

    def show(self) -> None:
        """Draw it here, in the notebook or the browser."""
        self.figure().show()

    def json(self) -> str:
        """The figure without a twin as Plotly JSON, or one that says why nothing is to show; its bytes are stable."""
        try:
            figure = self.alone().figure()
            figure.update_layout(meta={**(figure.layout.meta or {}), "reading": self.view.reading})
        except NotApplicable as reason:
            from miscope.renderers import absence

            figure = absence(self.view.question, str(reason))
        return store.canonical_json(json.loads(figure.to_json()))

    def export(self, format: str, path: str | Path | None = None) -> Path:
        """Write the figure (html, json, png, svg, pdf), its film (gif) or its table (csv, parquet); gives the path.

        Raises:
            MiscopeError: the format is unknown, or it needs a Chrome and none is found: then export html.
        """
        at = f"_{self.step}" if self.step is not None else ""
        target = Path(path) if path else Path(f"{self.loaded.name}_{self.view.name}{at}.{format}")
        store.write(target, self.exported(format))
        return target

    def film(self) -> "go.Figure":
        """The view at every checkpoint, with a slider and a button that plays it; axes and colours do not move.

        Raises:
            MiscopeError: the view is one over training, so it has no steps to play through.
        """
        from miscope.renderers import film

        steps, figures = self._frames()
        return film(figures, steps)

    def exported(self, format: str) -> bytes | str:
        """What `export` writes.

        Raises:
            MiscopeError: as for `export`.
        """
        if format not in FORMATS:
            raise MiscopeError(f"Cannot export {format!r}; known formats: {', '.join(FORMATS)}.")
        if format == "csv":
            return self.table().to_csv(index=False, lineterminator="\n")
        if format == "parquet":
            return self.table().to_parquet(index=False)
        if format == "json":
            return self.json()
        if format == "html":
            return self.figure().to_html(include_plotlyjs=True, full_html=True, div_id="miscope")
        return _moving_image(self._frames()[1]) if format == "gif" else _image(self.figure(), format)

    def _frames(self) -> tuple[list[int], list["go.Figure"]]:
        """Every step that the instrument looked at, and the view at it."""
        if not self.view.is_per_step:
            raise MiscopeError(f"`{self.view.name}` shows the whole of training, so it has no steps to play through.")
        steps = list(self.loaded.artifact(self.view.needs.name))
        return steps, [replace(self, step=step).figure() for step in steps]

    def _shown_step(self) -> int:
        if self.step is not None:
            return self.step
        if not self.loaded.steps:
            raise MiscopeError(f"`{self.loaded.name}` is not trained. Run `{freshness.command(self.loaded.name)}`.")
        return self.loaded.steps[-1]

    def _phases(self) -> Any:
        """The phases to draw behind a step axis; none where they have not been found yet."""
        fresh = self.loaded.status("phases").state == "fresh"
        return self.loaded.artifact("phases") if fresh else None


def _image(figure: "go.Figure", format: str) -> bytes:
    with _told_if_there_is_no_chrome(format):
        return figure.to_image(format=format, width=1000, height=figure.layout.height or 600, scale=2)


def _moving_image(figures: list["go.Figure"]) -> bytes:
    """The figures one after another, as a GIF that starts again."""
    import plotly.io
    from PIL import Image

    from miscope.renderers import FRAME_MS, on_one_scale

    height = max(int(figure.layout.height or 600) for figure in figures)
    with TemporaryDirectory() as folder, _told_if_there_is_no_chrome("gif"):
        files = [Path(folder) / f"{i:06d}.png" for i in range(len(figures))]
        plotly.io.write_images(fig=on_one_scale(figures), file=files, width=800, height=height)
        frames = [Image.open(file).convert("P", palette=Image.Palette.ADAPTIVE) for file in files]
        buffer = BytesIO()
        frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
    return buffer.getvalue()


@contextmanager
def _told_if_there_is_no_chrome(format: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # kaleido raises many kinds when there is no Chrome
        raise MiscopeError(
            f"Cannot draw {format}: it needs the `export` extra and a Chrome ({type(error).__name__}). Export html."
        ) from error
