"""Drawings of tables: each factory returns a pure function (table, frame) -> figure that knows no instrument."""

from miscope.renderers.bars import bars
from miscope.renderers.frame import Frame, Renderer
from miscope.renderers.lines import area, lines
from miscope.renderers.maps import categorical_heatmap, heatmap
from miscope.renderers.paths import path, path_3d, points
from miscope.renderers.theme import DIVERGING, SEQUENTIAL
from miscope.renderers.timeline import timeline
from miscope.renderers.together import FRAME_MS, animation, on_one_scale

__all__ = [
    "DIVERGING", "FRAME_MS", "SEQUENTIAL", "Frame", "Renderer", "animation", "area", "bars", "categorical_heatmap",
    "heatmap", "lines", "on_one_scale", "path", "path_3d", "points", "timeline",
]  # fmt: skip
