"""Train the points of a scaling study that are missing: python stages/run.py STUDY [--jobs K]

K go side by side; without it as many as there are cores for. Their number changes no result.
"""

import time
from pathlib import Path

from tqdm import tqdm

from miscope.core import MiscopeError
from miscope.scaling import documents, sweep
from miscope.workspace.command import run


def main(name: str, flag: str = "", jobs: str = "0") -> None:
    if flag not in ("", "--jobs") or not jobs.isdecimal() or (flag and not int(jobs)):
        raise MiscopeError(f"`{flag} {jobs}` is not understood; allowed after the study: --jobs and a number from 1.")
    points = {point.id: point for point in documents.read_plan(Path(), name).points}
    made, began = dict.fromkeys(points, 0), time.perf_counter()
    total = sum(map(sweep.cost, points.values()))
    with tqdm(total=total, desc=f"run {name}", unit="FLOP", unit_scale=True, mininterval=0.5) as bar:

        def show(point: str, updates: int) -> None:
            new, made[point] = updates - made[point], updates
            bar.update(sweep.cost(points[point]) * new / points[point].steps)
            done = sum(made[i] == p.steps for i, p in points.items())
            bar.set_postfix(points=f"{done}/{len(points)}", refresh=False)

        results = sweep.bring_up_to_date(Path(), name, int(jobs), show)
    if results is not None:  # under torchrun one process writes and tells
        lowest, seconds = min(point.loss for point in results.points), time.perf_counter() - began
        print(f"{name}: {len(results.points)} points, lowest loss {lowest:.4f} nats, {seconds:.0f} s")


if __name__ == "__main__":
    run(main)
