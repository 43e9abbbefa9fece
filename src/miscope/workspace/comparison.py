"""Several variants in one view: curves in one figure, everything else side by side on one scale.

together = miscope.compare("modulus_113", "modulus_59")
together.view("losses").show()
together.view("losses", align="onset").table()
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from miscope.core import MiscopeError
from miscope.instrument import Table, View
from miscope.workspace import Workspace
from miscope.workspace.bound_view import BoundView
from miscope.workspace.loaded import LoadedVariant

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

EVENTS = ("memorised", "onset", "solved", "grokked")  # steps may be counted from each of these, or from the start
MOST = 4  # variants whose dashes can be told apart


def compared(workspace: Workspace, names: Sequence[str]) -> "Comparison":
    """Two to four variants of a workspace.

    Raises:
        MiscopeError: there are fewer or more, a name occurs twice, or a variant is not declared.
    """
    if not 2 <= len(names) <= MOST or len(set(names)) < len(names):
        raise MiscopeError(f"Cannot compare {', '.join(names) or 'nothing'}; allowed: 2 to {MOST} different variants.")
    return Comparison(tuple(workspace.load(name) for name in names))


@dataclass(frozen=True)
class Comparison:
    """Two to four variants to compare."""

    variants: tuple[LoadedVariant, ...]

    def view(self, name: str, step: int | None = None, align: str = "start", **options: Any) -> "ComparedView":
        """A view of all variants; a view of one checkpoint shows each variant's nearest to `step`, or its last.

        `align`: where steps are counted from, `start` or an event of the phases (memorised, onset, solved, grokked).

        Raises:
            MiscopeError: there is no such view, option or event, or an event did not happen in one of the variants.
        """
        if align not in ("start", *EVENTS):
            raise MiscopeError(f"align = {align!r}; allowed: start, {', '.join(EVENTS)}.")
        view = self.variants[0].view(name, **options).view
        zeros = tuple(0 if align == "start" else _event(variant, align) for variant in self.variants)
        return ComparedView(self.variants, view, step, align, zeros, options)


@dataclass(frozen=True)
class ComparedView:
    """A view of several variants, at one step of each or over training."""

    variants: tuple[LoadedVariant, ...]
    view: View
    step: int | None
    align: str
    zeros: tuple[int, ...]  # the step of each variant that counts as 0
    options: Mapping[str, Any]

    @property
    def is_overlaid(self) -> bool:
        """Whether one figure shows all variants."""
        return not self.view.is_per_step and self.view.draw.is_overlaid

    @property
    def shown_steps(self) -> tuple[int | None, ...]:
        """The checkpoint of each variant that is shown; None: its last, or all of training."""
        if self.step is None:
            return (None,) * len(self.variants)
        wanted = [self.step + zero for zero in self.zeros]
        return tuple(
            min(variant.steps, key=lambda s: abs(s - at), default=None)
            for variant, at in zip(self.variants, wanted, strict=True)
        )

    def table(self) -> "pd.DataFrame":
        """The tables of all variants, with a column `variant`; `step` is counted as `align` says.

        Raises:
            MiscopeError: an artifact of one of them is missing or stale.
        """
        return self._tabulated().data

    def _tabulated(self) -> Table:
        from miscope.renderers.tidy import joined

        tables = [bound.tabulated() for bound in self._bound()]
        shifted = [_shifted(table.data, zero) for table, zero in zip(tables, self.zeros, strict=True)]
        titles = {"step": f"steps after {self.align}"} if self.align != "start" else {}
        return replace(
            tables[0],
            data=joined(shifted, [variant.name for variant in self.variants], "variant"),
            titles={**tables[0].titles, **titles},
            limits={},
            note="",
            null=None,
            bands=(),
        )

    def figures(self) -> list["go.Figure"]:
        """One figure with the curves of all variants, or one figure for each variant, all on one scale."""
        from miscope.renderers import Frame, on_one_scale

        if not self.is_overlaid:
            return on_one_scale([bound.figure() for bound in self._bound()])
        names = ", ".join(variant.label for variant in self.variants)
        return [self.view.draw(self._tabulated(), Frame(question=self.view.question, subtitle=names, step=self.step))]

    def show(self) -> None:
        """Draw them here, in the notebook or the browser."""
        for figure in self.figures():
            figure.show()

    def _bound(self) -> list[BoundView]:
        shown = zip(self.variants, self.shown_steps, strict=True)
        return [BoundView(variant, self.view, at, self.options) for variant, at in shown]


def _shifted(data: "pd.DataFrame", zero: int) -> "pd.DataFrame":
    if not zero or "step" not in data:
        return data
    return data.assign(step=data["step"].to_numpy(dtype=np.int64) - zero)


def _event(variant: LoadedVariant, name: str) -> int:
    step = getattr(variant.artifact("phases"), f"{name}_step")
    if step is None:
        raise MiscopeError(f"`{variant.name}` has no step `{name}`, so it cannot be aligned by it; try another event.")
    return int(step)
