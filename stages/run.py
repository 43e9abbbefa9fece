"""Train the points of a scaling study that are missing: python stages/run.py STUDY [--jobs K]

K go side by side; without it as many as there are cores for. Their number changes no result.
"""

import time
from pathlib import Path

from tqdm import tqdm

from miscope.core import MiscopeError
from miscope.scaling import planfile, sweep
from miscope.workspace.command import run


def main(name: str, flag: str = "", jobs: str = "0") -> None:
    if flag not in ("", "--jobs") or not jobs.isdecimal() or (flag and not int(jobs)):
        raise MiscopeError(f"`{flag} {jobs}` is not understood; allowed after the study: --jobs and a number from 1.")
    points = {point["id"]: point for point in planfile.read(Path(), name)["points"]}
    made, began = dict.fromkeys(points, 0), time.perf_counter()
    total = sum(map(sweep.cost, points.values()))
    with tqdm(total=total, desc=f"run {name}", unit="FLOP", unit_scale=True, mininterval=0.5) as bar:

        def show(point: str, updates: int) -> None:
            new, made[point] = updates - made[point], updates
            bar.update(sweep.cost(points[point]) * new / points[point]["steps"])
            bar.set_postfix(
                points=f"{sum(made[i] == p['steps'] for i, p in points.items())}/{len(points)}", refresh=False
            )

        results = sweep.bring_up_to_date(Path(), name, int(jobs), show)
    if not results:  # under torchrun one process writes and tells
        return
    found = results["points"]
    lowest = min(point["loss"] for point in found)
    print(f"{name}: {len(found)} points, lowest loss {lowest:.4f} nats, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    run(main)
