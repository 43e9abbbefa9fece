"""A view's figure as text for the browser; over training, a step only moves the marker in the figure that is there."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import data

from miscope import api, catalog
from miscope.core import MiscopeError

MARKER = ("halo", "current step")  # the renderers' names for the line at the current step

_ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="miscope-draw")


def figure_json(loaded: data.Remembered, name: str, step: int, options: data.Options, *, has_twin: bool = True) -> str:
    """The Plotly figure of a view at a step; `layout.meta` says the view, the step and what a click on it means.

    `has_twin`: one over training shows the curves of the variant's twin too.

    Raises:
        MiscopeError: the artifact is missing or stale, or an option is out of range.
    """
    view = catalog.view(name)
    key = (loaded.root, loaded.name, name, options, data.drawing_stamp(loaded, view.needs.name))
    if not view.is_per_step:
        figure = _over_training(*key, has_twin)
        if figure["layout"]["meta"]["clicks"] == "axis":
            return json.dumps(moved_to(figure, step))
    return _at_step(*key, step)


def draw_ahead(loaded: data.Remembered, drawn: Iterable[tuple[str, data.Options]], steps: Iterable[int]) -> None:
    """Draw these views at these steps in the background, unless it still draws for an earlier step."""
    if _ahead._work_queue.empty():
        wanted = [(name, options) for name, options in drawn if catalog.view(name).is_per_step]
        for step in steps:
            for name, options in wanted:
                _ahead.submit(_try_to_draw, loaded, name, step, options)


def _try_to_draw(loaded: data.Remembered, name: str, step: int, options: data.Options) -> None:
    with suppress(MiscopeError):  # whoever looks at it is told
        figure_json(loaded, name, step, options)


def moved_to(figure: dict[str, Any], step: int) -> dict[str, Any]:
    """A figure over training with its marker at another step."""
    layout = figure["layout"]
    shapes = [{**s, "x0": step, "x1": step} if s.get("name") in MARKER else s for s in layout["shapes"]]
    return {**figure, "layout": {**layout, "shapes": shapes, "meta": {**layout["meta"], "step": step}}}


@lru_cache(maxsize=128)
def _at_step(root: Path, variant: str, view: str, options: data.Options, made_from: data.Stamp, step: int) -> str:
    return json.dumps(as_data(data.load(root, variant).bound(view, step, options)))


@lru_cache(maxsize=64)
def _over_training(
    root: Path, variant: str, view: str, options: data.Options, made_from: data.Stamp, has_twin: bool
) -> dict[str, Any]:
    loaded = data.load(root, variant)
    bound = loaded.bound(view, loaded.steps[-1], options)
    return as_data(bound if has_twin else bound.alone())


def as_data(bound: api.BoundView) -> dict[str, Any]:
    """The figure as plain data."""
    figure = json.loads(bound.figure().to_json())
    layout = figure["layout"]
    layout["meta"] = {"view": bound.view.name, "step": bound.step, "clicks": _clicks(bound, layout)}
    layout["uirevision"] = bound.view.name  # zoom stays while the step changes
    return figure


def _clicks(bound: api.BoundView, layout: dict[str, Any]) -> str:
    """Where a click names a step: anywhere along a step axis, at a point that carries its step, or nowhere."""
    if any(shape.get("name") in MARKER for shape in layout.get("shapes", ())):
        return "axis"
    return "" if bound.view.is_per_step else "point"
