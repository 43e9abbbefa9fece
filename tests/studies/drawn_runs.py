"""Runs drawn from a law that is known, as arrays and as a study's folder."""

import json
from pathlib import Path

import numpy as np

from miscope.maths.power_laws import Law
from miscope.scaling import results
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
    ids = tuple(f"r{i}" for i in range(len(sizes)))
    runs = tuple({"seed": 1, "model_class": "Toy"} for _ in ids)
    return Results("toy", "all but embeddings", entropy, ids, sizes, tokens, budget, loss, "d1", runs)


def as_json(runs: Results) -> str:
    """What the stage `run` would have written."""
    points = [
        {"id": name, "budget": runs.budget[i], "parameters": runs.parameters[i], "tokens": runs.tokens[i],
         "loss": None if np.isnan(runs.loss[i]) else runs.loss[i], **runs.runs[i]}
        for i, name in enumerate(runs.ids)
    ]  # fmt: skip
    head = {"schema": 1, "study": runs.study, "convention": runs.convention, "entropy": runs.entropy}
    return json.dumps(head | {"points": points}, sort_keys=True)


def workspace(root: Path, runs: Results) -> Path:
    """A folder with params.yaml and the study's results, not yet fitted."""
    files.write(root / "params.yaml", PARAMS)
    files.write(results.path(root, runs.study), as_json(runs))
    return root
