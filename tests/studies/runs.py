"""Runs whose law is known: drawn from it, as a study has them and as a study's folder, and published ones."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miscope.maths.power_laws import Law
from miscope.scaling import documents, results
from miscope.scaling.documents import Record, Records
from miscope.scaling.parametric import Points, fitted
from miscope.scaling.results import Results
from miscope.workspace import files

TRUE = Law(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
CHINCHILLA = Law(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)  # Hoffmann et al. 2022, arXiv:2203.15556, eq. 10
PARAMS = """
variants: {}
scaling:
  toy:
    fit: {methods: [squared], draws: 40, targets: [1.0e+22, 1.0e+23], exclude: {r2: the disk was full}}
"""
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "scaling"  # where it lies beside the repository
TINY = "tiny_cpu_isoflop_sweep_markov2_entropy2.4704.csv"


def drawn(noise: float, seed: int = 0, n_budgets: int = 4, entropy: float | None = None) -> Results:
    """Seven sizes at each of some budgets around the best."""
    budget = np.repeat(np.geomspace(1e19, 1e21, n_budgets), 7)
    sizes = np.asarray(TRUE.best_parameters(budget)) * np.tile(np.geomspace(1 / 8, 8, 7), n_budgets)
    tokens = budget / 6 / sizes
    factors = np.exp(noise * np.random.default_rng(seed).standard_normal(len(sizes)))
    numbers = (v.tolist() for v in (budget, sizes, tokens, np.asarray(TRUE.loss(sizes, tokens)) * factors))
    runs = (Record(f"r{i}", *run, seed=1, model_class="Toy") for i, run in enumerate(zip(*numbers, strict=True)))
    return Results("toy", "all but embeddings", entropy, tuple(runs), "d1")


def changed(results: Results, changes: Mapping[int, dict[str, Any]]) -> Results:
    """The same with other fields for some runs."""
    return replace(results, runs=tuple(replace(run, **changes.get(i, {})) for i, run in enumerate(results.runs)))


def workspace(root: Path, runs: Results) -> Path:
    """A folder with params.yaml and the study's results, not yet fitted."""
    files.write(root / "params.yaml", PARAMS)
    records = Records(runs.runs, runs.study, runs.convention, runs.entropy)
    documents.write(documents.path(root, runs.study, "results.json"), records)
    return root


def published(name: str) -> Path:
    """A file of published runs; the test is skipped where they are not at hand."""
    if not (PUBLISHED / name).is_file():
        pytest.skip(f"the published runs are not at {PUBLISHED / name}")
    return PUBLISHED / name


def chinchilla(n_highest_left_out: int = 5, below_flops: float = np.inf) -> Points:
    """245 runs read off figure 4 of Hoffmann et al. 2022 by Besiroglu et al. 2024, arXiv:2404.10102."""
    runs = results.read(published("epoch_chinchilla_svg_extracted.csv"))
    rank = np.argsort(np.argsort(-runs.loss))
    kept = (rank >= n_highest_left_out) & (runs.budget < below_flops)
    return Points(runs.parameters[kept], runs.tokens[kept], runs.loss[kept])


@cache
def chinchilla_law() -> Law:
    """Huber's fit to the 240."""
    return fitted(chinchilla(), "huber")
