"""Measure a whole fit with 1,000 bootstraps: fit.py [RUNS.csv]

Without a file, on 240 runs drawn from a published law with noise of 0.5 %. Of a file the five highest losses are left
out, as in Besiroglu et al. 2024, arXiv:2404.10102. The last line is JSON: `bootstrap_1000_seconds` is Huber's law with
1,000 bootstraps; `study_seconds` all that the stage `fit` computes, which is two laws with 1,000 bootstraps each, both
IsoFLOP shapes with 1,000 redrawings, and all checks.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np

from miscope.maths.power_laws import NAMES, Law
from miscope.scaling.documents import Record
from miscope.scaling.fit import FitSettings
from miscope.scaling.laws import fit_of
from miscope.scaling.parametric import Fitted, Points, fitted, redrawn_laws
from miscope.scaling.results import Results, read

TRUE = Law(E=1.8172, A=477.8, B=2143.8, alpha=0.3473, beta=0.3672)
LEFT_OUT = "one of the five highest losses"


def main(*arguments: str) -> None:
    results = read(Path(arguments[0])) if arguments else drawn_runs()
    highest = np.argsort(-results.loss)[: 5 if arguments else 0]
    settings = FitSettings(exclude={results.ids[i]: LEFT_OUT for i in highest})
    kept = np.isin(np.array(results.ids), list(settings.exclude), invert=True)
    points = Points(results.parameters[kept], results.tokens[kept], results.loss[kept])
    measured: dict[str, float] = {"runs": len(points)}
    started = time.perf_counter()
    law = fitted(points, "huber")
    measured["huber_point_seconds"] = time.perf_counter() - started
    draws = redrawn_laws(points, "huber", law, 1000, 0)
    intervals = Fitted("huber", "huber", points, law, draws).described((), (), 6.0, 0).estimates
    measured["bootstrap_1000_seconds"] = time.perf_counter() - started
    measured |= {name: getattr(law, name) for name in NAMES}
    measured |= {f"{name}_standard_error": intervals[name].standard_error or np.nan for name in NAMES}
    started = time.perf_counter()
    study = fit_of(dataclasses.replace(results, entropy=None), settings)
    measured["study_seconds"] = time.perf_counter() - started
    for key, fit in study.parametric.items():
        rows = (f"{name} {e.value} [{e.low}, {e.high}]" for name, e in fit.estimates.items())
        print(f"{key:10} " + "  ".join(rows))
    print(study.disagreement.sentence)
    print(json.dumps({key: round(value, 6) for key, value in measured.items()}, sort_keys=True))


def drawn_runs() -> Results:
    """Twelve sizes at each of twenty budgets, from 1/8 to 8 times the best."""
    generator = np.random.default_rng(0)
    budget = np.repeat(np.geomspace(6e18, 3e21, 20), 12)
    parameters = np.asarray(TRUE.best_parameters(budget)) * np.tile(np.geomspace(1 / 8, 8, 12), 20)
    tokens = budget / 6 / parameters
    loss = np.asarray(TRUE.loss(parameters, tokens)) * np.exp(0.005 * generator.standard_normal(len(budget)))
    numbers = zip(*(v.tolist() for v in (budget, parameters, tokens, loss)), strict=True)
    runs = tuple(Record(f"run {i + 1}", *run) for i, run in enumerate(numbers))
    return Results("drawn", "exact", None, runs, "")


if __name__ == "__main__":
    main(*sys.argv[1:])
