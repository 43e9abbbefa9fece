"""Runs drawn from a law that is known, as a study has them and as a study's folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from miscope.maths.power_laws import Law
from miscope.scaling import documents
from miscope.scaling.documents import Record, Records
from miscope.scaling.results import Results
from miscope.workspace import files

TRUE = Law(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
PARAMS = """
variants: {}
scaling:
  toy:
    fit: {methods: [squared], draws: 40, targets: [1.0e+22, 1.0e+23], exclude: {r2: the disk was full}}
"""


def drawn(noise: float, seed: int = 0, n_budgets: int = 4, entropy: float | None = None) -> Results:
    """Seven sizes at each of some budgets around the best."""
    budget = np.repeat(np.geomspace(1e19, 1e21, n_budgets), 7)
    sizes = np.asarray(TRUE.best_parameters(budget)) * np.tile(np.geomspace(1 / 8, 8, 7), n_budgets)
    tokens = budget / 6 / sizes
    loss = np.asarray(TRUE.loss(sizes, tokens)) * np.exp(
        noise * np.random.default_rng(seed).standard_normal(len(sizes))
    )
    numbers = (v.tolist() for v in (budget, sizes, tokens, loss))
    runs = (Record(f"r{i}", *run, seed=1, model_class="Toy") for i, run in enumerate(zip(*numbers, strict=True)))
    return Results("toy", "all but embeddings", entropy, tuple(runs), "d1")


def changed(results: Results, changes: Mapping[int, dict[str, Any]]) -> Results:
    """The same with other fields for some runs."""
    runs = (replace(run, **changes.get(i, {})) for i, run in enumerate(results.runs))
    return replace(results, runs=tuple(runs))


def workspace(root: Path, runs: Results) -> Path:
    """A folder with params.yaml and the study's results, not yet fitted."""
    files.write(root / "params.yaml", PARAMS)
    records = Records(runs.runs, runs.study, runs.convention, runs.entropy)
    documents.write(documents.path(root, runs.study, "results.json"), records)
    return root
