"""All that the author of an instrument or of a family imports.

    from miscope.plugin import Context, Null, Output, PerCheckpoint, Table, lines, view

An instrument is a folder with measure.py, views.py and known.py, or one module; docs/plugins.md has whole examples.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from miscope.core import (
    Checkpoint,
    Context,
    Examples,
    Family,
    MiscopeError,
    ModelConfig,
    NotApplicable,
    Probe,
    Recipe,
    Split,
)
from miscope.instrument import (
    Answer,
    Artifact,
    Instrument,
    Null,
    Output,
    OverTraining,
    PerCheckpoint,
    Table,
    View,
    view,
)
from miscope.instruments._shared.nulls import against_untrained
from miscope.maths.spectra import Basis

if TYPE_CHECKING:  # imported when a view asks for them: who only measures meets neither pandas nor Plotly
    from miscope.renderers import (
        DIVERGING,
        SEQUENTIAL,
        area,
        bars,
        categorical_heatmap,
        heatmap,
        lines,
        path,
        path_3d,
        points,
        theme,
        timeline,
    )
    from miscope.renderers.tidy import highest, joined, long, names_of_positions, once, over_steps, probe_axes

LAZY = ("miscope.renderers.tidy", "miscope.renderers")


def __getattr__(name: str) -> Any:
    for module in LAZY if name in __all__ else ():
        if hasattr(import_module(module), name):
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DIVERGING", "SEQUENTIAL", "Answer", "Artifact", "Basis", "Checkpoint", "Context", "Examples", "Family",
    "Instrument", "MiscopeError", "ModelConfig", "NotApplicable", "Null", "Output", "OverTraining", "PerCheckpoint",
    "Probe", "Recipe", "Split", "Table", "View", "against_untrained", "area", "bars", "categorical_heatmap", "heatmap",
    "highest", "joined", "lines", "long", "names_of_positions", "once", "over_steps", "path", "path_3d", "points",
    "probe_axes", "theme", "timeline", "view",
]  # fmt: skip
