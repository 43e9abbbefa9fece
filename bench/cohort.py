"""Many seeds side by side against one alone, by the step: python bench/cohort.py [MEMBERS]. The last line is JSON."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from miscope.core import Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.memory import keep_freed_memory
from miscope.training.cohort import Cohort
from miscope.training.device import device_for
from miscope.training.run import Run

P, FRACTION, ROUNDS, STEPS_A_ROUND = 113, 0.3, 5, 4


def main(n_members: int = 64) -> None:
    keep_freed_memory()
    family = ModuloAddition(P, FRACTION)
    recipe = replace(family.recipe(), cohort="bench", device="auto")
    first = Variant("seed_0", "modulo_addition", family, 0, 0, family.model(), recipe, (0,))
    members = [replace(first, name=f"seed_{i}", seed=i, data_seed=i) for i in range(n_members)]
    place = device_for(recipe)
    alone, together = Run(first, place), Cohort(members, place)
    seconds: dict[str, list[float]] = {"alone": [], "together": []}
    for _ in range(ROUNDS):
        for name, advance in (("alone", alone.advance), ("together", together.advance)):
            seconds[name].append(timed(advance))
    one, all_of_them = (statistics.median(values) for values in seconds.values())
    print(f"p = {P}, fraction {FRACTION}, {place.describe()}")
    print(f"one alone {1e3 * one:.1f} ms a step, {n_members} together {1e3 * all_of_them:.1f} ms")
    print(json.dumps({"members": n_members, "ratio": round(all_of_them / one, 2), "step_ms": round(1e3 * one, 2)}))


def timed(advance: Callable[[], object]) -> float:
    """Seconds of a step, from a few after one that warms up."""
    advance()
    _wait()
    start = time.perf_counter()
    for _ in range(STEPS_A_ROUND):
        advance()
    _wait()
    return (time.perf_counter() - start) / STEPS_A_ROUND


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
