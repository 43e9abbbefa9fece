"""Many seeds side by side against one alone, by the step: python bench/ensemble.py [MEMBERS] [--device cuda].

On a GPU it says whether updates were replayed as CUDA graphs. The last line is JSON; the seconds of the canonical run
are estimated from those of a step and of an evaluation.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from miscope.core import Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.memory import keep_freed_memory
from miscope.training.device import device_for
from miscope.training.ensemble import stacked
from miscope.training.graphs import replaying
from miscope.training.trainer import Trainer, lone

P, FRACTION, ROUNDS = 113, 0.3, 5
STEPS_A_ROUND = {"cpu": 4, "cuda": 200}
STEPS, EVAL_EVERY = 12_500, 10  # of the canonical run


def main(n_members: int, kind: Literal["auto", "cpu", "cuda"]) -> None:
    keep_freed_memory()
    family = ModuloAddition(P, FRACTION)
    recipe = replace(family.recipe(), ensemble="bench", device=kind)
    first = Variant("seed_0", "modulo_addition", family, 0, 0, family.model(), recipe, (0,))
    members = [replace(first, name=f"seed_{i}", seed=i, data_seed=i) for i in range(n_members)]
    device = device_for(recipe)
    alone, together = (replaying(one, recipe) for one in (lone(first, device), stacked(members, device)))
    seconds: dict[str, list[float]] = {"alone": [], "together": []}
    for _ in range(ROUNDS):
        for name, advance in (("alone", alone.advance), ("together", together.advance)):
            seconds[name].append(timed(advance, STEPS_A_ROUND[device.torch.type]))
    one, all_of_them = (statistics.median(values) for values in seconds.values())
    look = timed(lambda: evaluate(alone), 1), timed(lambda: evaluate(together), 1)
    whole = [STEPS * (step + looks / EVAL_EVERY) for step, looks in zip((one, all_of_them), look, strict=True)]
    graphs = [trainer.is_replaying for trainer in (alone, together)]
    print(f"p = {P}, fraction {FRACTION}, {device.describe()}")
    print(f"one alone {1e3 * one:.2f} ms a step, {n_members} together {1e3 * all_of_them:.2f} ms")
    print(f"evaluations {1e3 * look[0]:.1f} ms and {1e3 * look[1]:.1f} ms, every {EVAL_EVERY} steps")
    print(f"{STEPS:,} steps come to {whole[0]:.0f} s and {whole[1]:.0f} s; as CUDA graphs: {graphs}")
    for reason in filter(None, (alone.fallback_reason, together.fallback_reason)):
        print(reason)
    figures = {
        "members": n_members,
        "ratio": round(all_of_them / one, 2),
        "step_ms": round(1e3 * one, 3),
        "graphs": all(graphs),
        "seconds_alone": round(whole[0], 1),
        "seconds_together": round(whole[1], 1),
    }
    print(json.dumps(figures))


def evaluate(trainer: Trainer) -> None:
    for model in trainer.models:
        model.evaluate(trainer.step)


def timed(function: Callable[[], object], n: int) -> float:
    """Seconds of a call, from `n` after one that warms up."""
    function()
    _wait()
    start = time.perf_counter()
    for _ in range(n):
        function()
    _wait()
    return (time.perf_counter() - start) / n


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("members", nargs="?", type=int, default=64)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    asked = parser.parse_args()
    main(asked.members, asked.device)
