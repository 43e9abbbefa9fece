"""What one checkpoint of the p = 113 model costs: seconds and bytes of every per-checkpoint instrument.

As in the stage `analyze`, one pass over the probe serves all; each instrument then pays for its computation and the
writing of its file. Loading Python is left out. Medians of repeats. An instrument that looks at some checkpoints only
counts as its share of the variant `modulus_113`; one that has nothing to measure here is left out, and so is one that
is never stored. Then the same at p = 59, and the peak of the process's memory.

Last, how a whole analysis grows with the number of checkpoints, each instrument over training apart, at p = 31: in CPU
seconds, which other work on the machine moves less. An exponent of 1 is linear; what is paid once draws it below.
Instruments that look at a fixed number of checkpoints are left out. The last line is JSON.
"""

import json
import math
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from miscope.catalog import builtin
from miscope.core import Checkpoint, Context, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.instrument import CHECKPOINTS, Output, OverTraining, PerCheckpoint, sampled_steps
from miscope.keys import Key
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.loop import train
from miscope.workspace import Workspace, analysis, store
from miscope.workspace.observation import observed

CATALOG = builtin()
REPEATS = 5
NUMBERS = (8, 24, 72)  # of checkpoints
FIRST = 4  # of checkpoints of an analysis before these, which pays for imports
STEPS = 355  # of the training that they are spread over: evenly for each of the numbers
PASS, ALL = "passes over the probe", "all"
Rows = dict[str, tuple[float, float]]  # seconds, megabytes


def main() -> None:
    smaller, rows = costs(59), costs(113)
    print(f"one checkpoint, p = 113, {torch.get_num_threads()} threads, medians of {REPEATS}")
    for name, (seconds, megabytes) in rows.items():
        some = f"  at {share(name):.0%} of the checkpoints" if name != PASS and share(name) < 1 else ""
        print(f"{name:28} {seconds:8.3f} s  {megabytes:8.3f} MB{some}")
    total, before = total_of(rows), total_of(smaller)
    print(f"{ALL:28} {total[0]:8.3f} s  {total[1]:8.3f} MB")
    print(f"{'all, p = 59':28} {before[0]:8.3f} s  {before[1]:8.3f} MB")
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    growth = seconds_by_number()
    exponents = {name: exponent(seconds) for name, seconds in growth.items()}
    print(f"\nCPU seconds at p = 31 of {', '.join(map(str, NUMBERS))} checkpoints, and the exponent")
    for name, each in growth.items():
        print(f"{name:28} {'  '.join(f'{s:8.3f} s' for s in each)}  {exponents[name]:5.2f}")
    figures = {
        "seconds_per_checkpoint": round(total[0], 3),
        "megabytes_per_checkpoint": round(total[1], 3),
        "peak_memory_gb": round(peak, 3),
        "seconds_per_checkpoint_p59": round(before[0], 3),
        "exponent_of_checkpoints": round(exponents[ALL], 3),
    }
    print(json.dumps(figures | {f"seconds_{name}": round(row[0], 4) for name, row in rows.items() if name != PASS}))


def costs(modulus: int) -> Rows:
    """Seconds and megabytes of the shared passes and of each instrument, by its share of the checkpoints."""
    family = ModuloAddition(modulus, 0.3)
    context = family.context(598)
    checkpoint = Checkpoint(0, family.model(), weights(Transformer(family.model(), 999)))
    stored = [name for name in CATALOG.stored if isinstance(CATALOG.instrument(name), PerCheckpoint)]
    names = [name for name in stored if applies(name, checkpoint, context)]
    usual = [instrument(name) for name in names if share(name) == 1]
    rows = {PASS: (median(lambda: observed(checkpoint, context, usual)), 0.0)}
    for name in names:
        (seen,) = observed(checkpoint, context, [instrument(name)])
        size = written(name, seen, context)
        seconds = median(lambda: written(name, seen, context), REPEATS if share(name) == 1 else 2)  # noqa: B023
        rows[name] = (share(name) * seconds, share(name) * size / 1e6)
    return rows


def total_of(rows: Rows) -> tuple[float, float]:
    return sum(row[0] for row in rows.values()), sum(row[1] for row in rows.values())


def seconds_by_number() -> dict[str, list[float]]:
    """CPU seconds of the per-checkpoint instruments together, of each over training and of all, at each number."""
    stored = [CATALOG.instrument(name) for name in CATALOG.stored]
    over_training = [one.name for one in stored if isinstance(one, OverTraining)]
    usual = [one.name for one in stored if isinstance(one, PerCheckpoint) and CHECKPOINTS not in one.settings]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "params.yaml").write_text("variants:\n" + "".join(map(declared, (FIRST, *NUMBERS))), encoding="utf-8")
        parts = {"per-checkpoint": usual} | {one: [one] for one in over_training}
        _, *rows = (seconds_of(root, f"of_{n}", parts) for n in (FIRST, *NUMBERS))
    grown = {name: [row[name] for row in rows] for name in rows[0]}
    return grown | {ALL: [sum(row.values()) for row in rows]}


def declared(number: int) -> str:
    steps = [round(i * STEPS / (number - 1)) for i in range(number)]
    return f"  of_{number}: {{family: modulo_addition, modulus: 31, steps: {STEPS}, checkpoints: {steps}}}\n"


def seconds_of(root: Path, name: str, parts: dict[str, list[str]]) -> dict[str, float]:
    """CPU seconds of each part of one variant's analysis, after its training."""
    workspace = Workspace(root)
    config, folder = workspace.config, workspace.folder(name)
    train(config.variant(name), folder)
    analysis.write_probe(config, folder)
    seconds = {}
    for part, instruments in parts.items():
        start = time.process_time()
        analysis.bring_up_to_date(config, folder, instruments)
        seconds[part] = time.process_time() - start
    return seconds


def exponent(seconds: list[float]) -> float:
    """Of the power of the number of checkpoints that the seconds grow with, by least squares."""
    return statistics.linear_regression([math.log(n) for n in NUMBERS], [math.log(s) for s in seconds]).slope


def instrument(name: str) -> PerCheckpoint:
    chosen = CATALOG.instrument(name)
    assert isinstance(chosen, PerCheckpoint)
    return chosen


def applies(name: str, checkpoint: Checkpoint, context: Context) -> bool:
    """Whether the instrument has something to measure; the first call also imports."""
    try:
        analysis.compute(checkpoint, instrument(name), context, instrument(name).settings)
    except NotApplicable:
        return False
    return True


def share(name: str) -> float:
    """The share of the checkpoints of `modulus_113` that the instrument measures by default."""
    steps = Workspace(Path(__file__).parents[1]).config.variant("modulus_113").checkpoint_steps
    return len(sampled_steps(steps, CATALOG.instrument(name).settings)) / len(steps)


def median(call: object, repeats: int = REPEATS) -> float:
    """Median seconds of a call."""
    assert callable(call)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def written(name: str, seen: Checkpoint, context: Context) -> int:
    """Compute and store one Output; what comes back is the size of its file in bytes."""
    settings = {key: value for key, value in instrument(name).settings.items() if key != "checkpoints"}
    output: Output = instrument(name).compute(seen, context, **settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.npz"
        store.save_output(path, output, Key({}, ""))
        return path.stat().st_size


if __name__ == "__main__":
    main()
