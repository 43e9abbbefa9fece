"""What one checkpoint of the p = 113 calibration model costs: seconds and bytes of every per-checkpoint instrument.

Each instrument pays for its own forward pass, its computation and the writing of its file, as its stage does; loading
Python is left out. Medians of repeats. One that looks at some checkpoints only counts as its share of the variant
`calibration`; one that has nothing to measure here is left out. The last line is JSON.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from miscope import analysis, catalog, config, store
from miscope.core import Checkpoint, Context, NotApplicable, Output, PerCheckpoint, looked_at
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

REPEATS = 7


def main() -> None:
    family = ModuloAddition(113, 0.3)
    context = family.context(598)
    model = Transformer(family.model(), 999)
    checkpoint = Checkpoint(0, family.model(), weights(model))
    shares = {name: share(name) for name in catalog.analyzers() if applies(name, checkpoint, context)}
    rows = {name: tuple(part * x for x in cost(name, checkpoint, context)) for name, part in shares.items()}
    print(f"one checkpoint, p = 113, {torch.get_num_threads()} threads, medians of {REPEATS}")
    for name, (seconds, megabytes) in rows.items():
        some = "" if shares[name] == 1 else f"  at {shares[name]:.0%} of the checkpoints"
        print(f"{name:28} {seconds:8.3f} s  {f'{megabytes:8.3f} MB' if megabytes else 'never stored'}{some}")
    total_seconds, total_megabytes = (sum(row[i] for row in rows.values()) for i in (0, 1))
    print(f"{'all':28} {total_seconds:8.3f} s  {total_megabytes:8.3f} MB")
    figures = {"seconds_per_checkpoint": round(total_seconds, 3), "megabytes_per_checkpoint": round(total_megabytes, 3)}
    print(json.dumps(figures | {f"seconds_{name}": round(seconds, 4) for name, (seconds, _) in rows.items()}))


def applies(name: str, checkpoint: Checkpoint, context: Context) -> bool:
    """Whether the instrument has something to measure; the first call also imports."""
    analyzer = catalog.instrument(name)
    assert isinstance(analyzer, PerCheckpoint)
    try:
        analysis.compute(checkpoint, analyzer, context, analyzer.settings)
    except NotApplicable:
        return False
    return True


def share(name: str) -> float:
    """At which part of the calibration variant's checkpoints the instrument looks by default."""
    steps = config.load(Path(__file__).parents[1]).variant("calibration").checkpoint_steps
    return len(looked_at(steps, catalog.instrument(name).settings)) / len(steps)


def cost(name: str, checkpoint: Checkpoint, context: Context) -> tuple[float, float]:
    """Median seconds, and megabytes on disk (0: never stored)."""
    analyzer = catalog.instrument(name)
    assert isinstance(analyzer, PerCheckpoint)
    seconds, size = [], 0
    for _ in range(REPEATS if share(name) == 1 else 2):
        start = time.perf_counter()
        output = analysis.compute(checkpoint, analyzer, context, analyzer.settings)
        size = written(output, name) if analyzer.is_stored else 0
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), size / 1e6


def written(output: Output, name: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.npz"
        store.save_output(path, output, store.Provenance(name, "", "", "", "{}"))
        return path.stat().st_size


if __name__ == "__main__":
    main()
