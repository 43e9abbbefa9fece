"""Drawings of tables: each factory returns a pure function (table, frame) -> figure that knows no instrument."""

from miscope.renderers.absence import absence
from miscope.renderers.bars import bars
from miscope.renderers.frame import Frame, Renderer
from miscope.renderers.lines import area, lays_over, lines
from miscope.renderers.maps import heatmap, mosaic
from miscope.renderers.paths import path, path_3d
from miscope.renderers.theme import DIVERGING, SEQUENTIAL
from miscope.renderers.timeline import timeline
from miscope.renderers.together import FRAME_MS, film, on_one_scale

__all__ = [
    "DIVERGING", "FRAME_MS", "SEQUENTIAL", "Frame", "Renderer", "absence", "area", "bars", "film", "heatmap",
    "lays_over", "lines", "mosaic", "on_one_scale", "path", "path_3d", "timeline",
]  # fmt: skip
