"""A view of one variant, perhaps at one step: its table, its null, its figure, and files of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import Null, Table, View
from miscope.workspace.files import write
from miscope.workspace.status import command

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from miscope.workspace.loaded import LoadedVariant

FORMATS = ("html", "json", "png", "svg", "pdf", "gif", "csv", "parquet")


@dataclass(frozen=True)
class BoundView:
    """A view of one variant, perhaps at one step, with its options."""

    loaded: "LoadedVariant"
    view: View
    step: int | None
    options: Mapping[str, Any]
    has_control: bool = True  # whether the curves of the variant's control run are drawn too, where it has one

    def without_control(self) -> "BoundView":
        """The view without the variant's control run."""
        return replace(self, has_control=False)

    def table(self) -> "pd.DataFrame":
        """The numbers that the figure draws: one tidy table.

        Raises:
            MiscopeError: the artifact is missing or stale, or an option names a layer or a neuron that is not there.
        """
        return self.tabulated().data

    def null(self) -> Null:
        """The view's statistic beside what chance would show; `str()` of it is a sentence."""
        null = self.tabulated().null
        assert null is not None, self.view.name
        return null

    def tabulated(self) -> Table:
        """The table with its null, limits, titles and notes."""
        artifact, nulls = (read(self.view.needs.name) for read in (self.loaded.artifact, self.loaded.nulls))
        step = self._shown_step() if self.view.is_per_step else None
        try:
            return self.view.tabulate(artifact, self.loaded.context, nulls, step, **self.options)
        except IndexError as error:
            if not self.options:
                raise
            chosen = ", ".join(f"{name} = {value}" for name, value in self.options.items())
            raise MiscopeError(f"`{self.view.name}` has nothing at {chosen}: {error}.") from None

    def figure(self) -> "go.Figure":
        """The drawing, as a Plotly figure."""
        from miscope.renderers.drawn import drawn

        step = self._shown_step() if self.view.is_per_step else self.step
        return drawn(self.view, self._drawn_table(), self.loaded.label, step, self._phases())

    def _drawn_table(self) -> Table:
        """The view's table, and below it that of the control run, unless the control run lacks the layer or head."""
        own, control = self.tabulated(), self._control()
        if control is None:
            return own
        from miscope.renderers.tidy import joined

        names = [self.loaded.name, "control run"]
        try:
            data = joined([own.data, control.table()], names, "variant")
        except MiscopeError:
            return own
        return replace(own, data=data, limits={}, bands=())

    def _control(self) -> "BoundView | None":
        """The same view of the control run, for curves over training whose artifact is fresh."""
        control = self.loaded.control
        if not (self.has_control and control and self.view.draw.is_overlaid) or self.view.is_per_step:
            return None
        return replace(self, loaded=control) if control.status(self.view.needs.name).state == "fresh" else None

    def show(self) -> None:
        """Draw it here, in the notebook or the browser."""
        self.figure().show()

    def json(self) -> str:
        """The figure without its control run as Plotly JSON, or the reason why there is none; bytes are stable."""
        from miscope.renderers.drawn import absent_as_json, as_json

        try:
            return as_json(self.without_control().figure(), self.view)
        except NotApplicable as reason:
            return absent_as_json(self.view, reason)

    def export(self, format: str, path: str | Path | None = None) -> Path:
        """Write the figure (html, json, png, svg, pdf), its animation (gif) or its table (csv, parquet); the path.

        Raises:
            MiscopeError: the format is unknown, or it needs a Chrome and there is none: then export html.
        """
        at = f"_{self.step}" if self.step is not None else ""
        target = Path(path) if path else Path(f"{self.loaded.name}_{self.view.name}{at}.{format}")
        write(target, self.exported(format))
        return target

    def animation(self) -> "go.Figure":
        """The view at every checkpoint, with a slider and a play button; axes and colour scales are fixed.

        Raises:
            MiscopeError: the view shows the whole of training, so it has no steps to play.
        """
        from miscope.renderers import animation

        steps, figures = self._frames()
        return animation(figures, steps)

    def exported(self, format: str) -> bytes | str:
        """The content that `export` writes.

        Raises:
            MiscopeError: as for `export`.
        """
        if format not in FORMATS:
            raise MiscopeError(f"Cannot export {format!r}; known formats: {', '.join(FORMATS)}.")
        if format == "csv":
            return str(self.table().to_csv(index=False, lineterminator="\n"))
        if format == "parquet":
            return bytes(self.table().to_parquet(index=False))
        if format == "json":
            return self.json()
        if format == "html":
            return str(self.figure().to_html(include_plotlyjs=True, full_html=True, div_id="miscope"))
        return _moving_image(self._frames()[1]) if format == "gif" else _image(self.figure(), format)

    def _frames(self) -> tuple[list[int], list["go.Figure"]]:
        """Every step that the instrument measured, and the view at each."""
        if not self.view.is_per_step:
            raise MiscopeError(f"`{self.view.name}` shows the whole of training, so it has no steps to play.")
        steps = list(self.loaded.artifact(self.view.needs.name))
        return steps, [replace(self, step=step).figure() for step in steps]

    def _shown_step(self) -> int:
        if self.step is not None:
            return self.step
        if not self.loaded.steps:
            raise MiscopeError(f"`{self.loaded.name}` is not trained. Run `{command(self.loaded.name)}`.")
        return self.loaded.steps[-1]

    def _phases(self) -> Any:
        """The phases to draw behind a step axis; None where they are missing or stale."""
        fresh = self.loaded.status("phases").state == "fresh"
        return self.loaded.artifact("phases") if fresh else None


def _image(figure: "go.Figure", format: str) -> bytes:
    with _needing_chrome(format):
        return bytes(figure.to_image(format=format, width=1000, height=figure.layout.height or 600, scale=2))


def _moving_image(figures: list["go.Figure"]) -> bytes:
    """The figures one after another, as a GIF that loops."""
    import plotly.io
    from PIL import Image

    from miscope.renderers import FRAME_MS, on_one_scale

    height = max(int(figure.layout.height or 600) for figure in figures)
    with TemporaryDirectory() as folder, _needing_chrome("gif"):
        files = [Path(folder) / f"{i:06d}.png" for i in range(len(figures))]
        plotly.io.write_images(fig=on_one_scale(figures), file=files, width=800, height=height)
        frames = [Image.open(file).convert("P", palette=Image.Palette.ADAPTIVE) for file in files]
        buffer = BytesIO()
        frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
    return buffer.getvalue()


@contextmanager
def _needing_chrome(format: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # kaleido raises many kinds of errors when there is no Chrome
        raise MiscopeError(
            f"Cannot draw {format}: it needs the `export` extra and a Chrome ({type(error).__name__}). Export html."
        ) from error
