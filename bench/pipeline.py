"""What stages cost beside what they compute, in CPU seconds of DVC and of starting Python: pipeline.py [VARIANTS]

A workspace of tiny variants in a temporary folder, with every instrument: made once by `python -m miscope run`, then
asked again with nothing changed, after an edit of one instrument, and with one stage of every variant forced though all
is fresh. Prints a table and, last, one line of JSON.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
VARIANT = """\
  v{i}: {{family: modulo_addition, modulus: 7, train_fraction: 0.5, seed: {i}, steps: 40, eval_every: 20,
        checkpoints: [20], model: {{d_model: 8, n_heads: 2, d_head: 4, d_mlp: 16}}}}
"""
SETTINGS = """
instruments:
  loss_landscape: {checkpoints: 2, directions: 2, trace_vectors: 2, products: 4}
  local_learning_coefficient: {checkpoints: 2, draws: 8, chains: 2}
  quantization_sensitivity: {checkpoints: 2, inputs: 49}
"""
EDITED = "src/miscope/instruments/singular_values/measure.py"
STAGE = "stages/attention_spectra/dvc.yaml:analyze"


def workspace(path: Path, n: int) -> Path:
    """A workspace with `n` variants, and the source of this one."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "cache", "tmp", "*.lock")
    for folder in ("src", "stages", ".dvc"):
        shutil.copytree(REPOSITORY / folder, path / folder, ignore=ignored)
    for file in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / file, path / file)
    (path / "params.yaml").write_text("variants:\n" + "".join(VARIANT.format(i=i) for i in range(n)) + SETTINGS)
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    return path


def cost(root: Path, *words: str) -> tuple[float, float]:
    """CPU seconds and seconds of a command with all its children."""
    paths = {"PYTHONPATH": str(root / "src"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, cwd=root, env=os.environ | paths, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - began


def main(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = workspace(Path(folder), n)
        run = ("python", "-m", "miscope", "run")
        told = {"first run": cost(root, *run), "nothing to do, miscope run": cost(root, *run)}
        told["nothing to do, dvc repro"] = cost(root, "dvc", "repro")
        told["dvc status"] = cost(root, "dvc", "status")
        asked = cost(root, "dvc", "repro", "-s", STAGE)
        told["one fresh stage of every variant, forced"] = cost(root, "dvc", "repro", "-f", "-s", STAGE)
        file = root / EDITED
        for command, edit in ((("dvc", "repro"), "EDITED = 1"), (run, "EDITED = 2")):
            text = file.read_text(encoding="utf-8")
            file.write_text(f"{text}\n{edit}\n", encoding="utf-8")
            told[f"one instrument edited, {' '.join(command[-2:])}"] = cost(root, *command)
    print(f"{'CPU s':>8} {'s':>8}  {n} variants")
    for name, (cpu, seconds) in told.items():
        print(f"{cpu:8.1f} {seconds:8.1f}  {name}")
    forced = told["one fresh stage of every variant, forced"][0]
    summary = {
        "stage_overhead_cpu_seconds": round((forced - asked[0]) / n, 3),
        f"noop_seconds_{n}": round(told["nothing to do, dvc repro"][0], 2),
        f"edit_one_analyzer_seconds_{n}": round(told["one instrument edited, dvc repro"][0], 2),
        "dvc_status_seconds": round(told["dvc status"][0], 2),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
