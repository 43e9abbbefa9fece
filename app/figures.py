"""A view's figure as text for the browser. In a view over training, a new step only moves the marker."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any

from data import OpenVariant, OpenWorkspace, Options, Stamp

from miscope.core import MiscopeError
from miscope.workspace.bound_view import BoundView

MARKER = ("halo", "current step")  # the renderers' names for the line at the current step

_ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="miscope-draw")


def figure_json(variant: OpenVariant, name: str, step: int, options: Options, *, has_control: bool = True) -> str:
    """The Plotly figure of a view at a step; `layout.meta` says the view, the step and what a click on it means.

    `has_control`: a view over training shows the curves of the variant's control run too.

    Raises:
        MiscopeError: the artifact is missing or stale, or an option is out of range.
    """
    view = variant.declared(name)
    key = (variant.workspace, variant.name, name, options, variant.drawing_stamp(view.needs.name))
    if not view.is_per_step:
        figure = _over_training(*key, has_control)
        if figure["layout"]["meta"]["clicks"] == "axis":
            return json.dumps(moved_to(figure, step))
    return _at_step(*key, step, has_control or view.is_per_step)


def draw_ahead(variant: OpenVariant, drawn: Iterable[tuple[str, Options]], steps: Iterable[int]) -> None:
    """Draw these views at these steps in the background, unless drawings for an earlier step are still waiting."""
    if _ahead._work_queue.empty():
        wanted = [(name, options) for name, options in drawn if variant.declared(name).is_per_step]
        for step in steps:
            for name, options in wanted:
                _ahead.submit(_try_to_draw, variant, name, step, options)


def _try_to_draw(variant: OpenVariant, name: str, step: int, options: Options) -> None:
    with suppress(MiscopeError):  # shown when the user moves to this step
        figure_json(variant, name, step, options)


def moved_to(figure: dict[str, Any], step: int) -> dict[str, Any]:
    """The same figure over training, its marker at another step."""
    layout = figure["layout"]
    shapes = [{**s, "x0": step, "x1": step} if s.get("name") in MARKER else s for s in layout["shapes"]]
    return {**figure, "layout": {**layout, "shapes": shapes, "meta": {**layout["meta"], "step": step}}}


@lru_cache(maxsize=128)
def _at_step(
    workspace: OpenWorkspace, variant: str, view: str, options: Options, made_from: Stamp, step: int, has_control: bool
) -> str:
    return json.dumps(_drawn(workspace, variant, view, options, step, has_control))


@lru_cache(maxsize=64)
def _over_training(
    workspace: OpenWorkspace, variant: str, view: str, options: Options, made_from: Stamp, has_control: bool
) -> dict[str, Any]:
    return _drawn(workspace, variant, view, options, workspace.load(variant).steps[-1], has_control)


def _drawn(
    workspace: OpenWorkspace, variant: str, view: str, options: Options, step: int, has_control: bool
) -> dict[str, Any]:
    bound = workspace.load(variant).bound(view, step, options)
    return as_data(bound if has_control else bound.without_control())


def as_data(bound: BoundView) -> dict[str, Any]:
    """The figure as plain data."""
    figure = json.loads(bound.figure().to_json())
    layout = figure["layout"]
    layout["meta"] = {"view": bound.view.name, "step": bound.step, "clicks": _clicks(bound, layout)}
    layout["uirevision"] = bound.view.name  # zoom stays while the step changes
    return figure


def _clicks(bound: BoundView, layout: dict[str, Any]) -> str:
    """Where a click names a step: anywhere along a step axis, at a point that carries its step, or nowhere."""
    if any(shape.get("name") in MARKER for shape in layout.get("shapes", ())):
        return "axis"
    return "" if bound.view.is_per_step else "point"
