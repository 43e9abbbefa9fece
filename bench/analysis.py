"""What one checkpoint of the p = 113 calibration model costs: seconds and bytes of every per-checkpoint instrument.

As in the stage `analyze`, one pass over the probe serves all; each instrument then pays for its computation and the
writing of its file. Loading Python is left out. Medians of repeats. An instrument that looks at some checkpoints only
counts as its share of the variant `calibration`; one that has nothing to measure here is left out, and so is one that
is never stored. Then the same at p = 59, and the peak of the process's memory. The last line is JSON.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from miscope import analysis, catalog, config, store
from miscope.core import Checkpoint, Context, NotApplicable, Output, PerCheckpoint, looked_at
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.observation import observed

REPEATS = 5
PASS = "passes over the probe"
Rows = dict[str, tuple[float, float]]  # seconds, megabytes


def main() -> None:
    smaller, rows = costs(59), costs(113)
    print(f"one checkpoint, p = 113, {torch.get_num_threads()} threads, medians of {REPEATS}")
    for name, (seconds, megabytes) in rows.items():
        some = f"  at {share(name):.0%} of the checkpoints" if name != PASS and share(name) < 1 else ""
        print(f"{name:28} {seconds:8.3f} s  {megabytes:8.3f} MB{some}")
    total, before = total_of(rows), total_of(smaller)
    print(f"{'all':28} {total[0]:8.3f} s  {total[1]:8.3f} MB")
    print(f"{'all, p = 59':28} {before[0]:8.3f} s  {before[1]:8.3f} MB")
    unit = 1 if sys.platform == "darwin" else 1024
    figures = {
        "seconds_per_checkpoint": round(total[0], 3),
        "megabytes_per_checkpoint": round(total[1], 3),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 3),
        "seconds_per_checkpoint_p59": round(before[0], 3),
    }
    print(json.dumps(figures | {f"seconds_{name}": round(row[0], 4) for name, row in rows.items() if name != PASS}))


def costs(modulus: int) -> Rows:
    """Seconds and megabytes of the shared passes and of each instrument, by its share of the checkpoints."""
    family = ModuloAddition(modulus, 0.3)
    context = family.context(598)
    checkpoint = Checkpoint(0, family.model(), weights(Transformer(family.model(), 999)))
    names = [name for name in catalog.analyzers() if name in catalog.stored() and applies(name, checkpoint, context)]
    usual = [found(name) for name in names if share(name) == 1]
    rows = {PASS: (median(lambda: observed(checkpoint, context, usual)), 0.0)}
    for name in names:
        (seen,) = observed(checkpoint, context, [found(name)])
        size = written(name, seen, context)
        seconds = median(lambda: written(name, seen, context), REPEATS if share(name) == 1 else 2)  # noqa: B023
        rows[name] = (share(name) * seconds, share(name) * size / 1e6)
    return rows


def total_of(rows: Rows) -> tuple[float, float]:
    return sum(row[0] for row in rows.values()), sum(row[1] for row in rows.values())


def found(name: str) -> PerCheckpoint:
    analyzer = catalog.instrument(name)
    assert isinstance(analyzer, PerCheckpoint)
    return analyzer


def applies(name: str, checkpoint: Checkpoint, context: Context) -> bool:
    """Whether the instrument has something to measure; the first call also imports."""
    try:
        analysis.compute(checkpoint, found(name), context, found(name).settings)
    except NotApplicable:
        return False
    return True


def share(name: str) -> float:
    """At which part of the calibration variant's checkpoints the instrument looks by default."""
    steps = config.load(Path(__file__).parents[1]).variant("calibration").checkpoint_steps
    return len(looked_at(steps, catalog.instrument(name).settings)) / len(steps)


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
    settings = {key: value for key, value in found(name).settings.items() if key != "checkpoints"}
    output: Output = found(name).compute(seen, context, **settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.npz"
        store.save_output(path, output, store.Provenance(name, "", "", "", "{}"))
        return path.stat().st_size


if __name__ == "__main__":
    main()
