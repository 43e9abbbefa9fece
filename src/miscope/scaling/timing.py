"""How long a plan will take here, by timing a few updates of every size, and what else to say before it runs."""

import time
from collections.abc import Mapping
from typing import Any

import torch

from miscope.scaling.point import PointRun, recipe_of
from miscope.scaling.sweep import cost, default_jobs
from miscope.training.device import device_for

WARM, TIMED = 2, 4  # updates
MOST_FLOPS = 1e12  # of an update that is timed; larger ones are taken to run at the best speed that was seen


def lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan for a reader: a line for each point, the notes, the hours."""
    head = f"{'id':12} {'budget':>9} {'N':>13} {'D':>15} {'updates':>9} {'epochs':>7} {'rate':>9} {'seconds':>9}"
    seconds = expected_seconds(plan)
    rows = [
        f"{p['id']:12} {p['budget']:9.2e} {p['parameters']:13,} {p['tokens']:15,} {p['steps']:9,} "
        f"{_number(p['epochs']):>7} {p['learning_rate']:9.2e} {seconds[p['id']]:9.1f}"
        for p in plan["points"]
    ]
    total, jobs = sum(seconds.values()), default_jobs(plan)
    each = f", {total / jobs / 3600:.2f} h with {jobs} side by side" if jobs > 1 else ""
    entropy = [] if plan["entropy"] is None else [f"No loss can fall below {plan['entropy']:.4f} nats, the entropy."]
    return [head, *rows, plan["convention"], *entropy, *plan["notes"], f"Expected here: {total / 3600:.2f} h{each}."]


def expected_seconds(plan: Mapping[str, Any]) -> dict[str, float]:
    """By id of a point; the evaluation at its end is not counted."""
    speeds: dict[str, float] = {}  # FLOPs a second, by a model's parameters
    before = torch.get_num_threads()
    torch.set_num_threads(plan["running"]["threads"])
    for point in sorted(plan["points"], key=lambda point: point["parameters"]):
        model = str(point["config"]["model"])
        if model not in speeds and point["flops_counted"] / point["steps"] <= MOST_FLOPS:
            speeds[model] = cost(point) / point["steps"] / _seconds_an_update(plan, point)
    torch.set_num_threads(before)
    best = max(speeds.values(), default=1e9)
    return {p["id"]: cost(p) / speeds.get(str(p["config"]["model"]), best) for p in plan["points"]}


def _seconds_an_update(plan: Mapping[str, Any], point: Mapping[str, Any]) -> float:
    run = PointRun(plan, point, device_for(recipe_of(plan, point)), lambda _: None)
    for i in range(WARM + TIMED):
        if i == WARM:
            began = time.perf_counter()
        run.advance().item()
    return (time.perf_counter() - began) / TIMED


def _number(value: float | None) -> str:
    return "fresh" if value is None else f"{value:.2f}"
