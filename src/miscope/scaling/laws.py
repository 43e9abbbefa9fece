"""A study's fit, whole: every method with intervals, what they disagree on, what stood out, what was refused.

The result is plain data, the content of `fit.json`; the same runs and settings give the same bytes.
"""

import dataclasses
import math
from collections.abc import Mapping
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float

from miscope import keys
from miscope.core import MiscopeError
from miscope.maths import power_laws
from miscope.scaling import bootstrap, checklist, isoflop, parametric, scrutiny
from miscope.scaling.parametric import fitted, objective, unfit
from miscope.scaling.results import Results
from miscope.scaling.scrutiny import Fitted, points_of
from miscope.scaling.settings import METHODS, Settings

SCHEMA = 1
BEYOND = 10.0  # times the largest budget: where the laws are asked, unless the settings say
FRONTIER = 25  # budgets along a frontier
FEW_DRAWS = 200  # for the asymmetric error, which costs a linear programme per step
KNOWN = ", E known"


def path(root: Path, study: str) -> Path:
    return root / "artifacts" / "scaling" / study / "fit.json"


def study(results: Results, settings: Settings | None = None) -> dict[str, Any]:
    """The content of `fit.json`: numbers, strings, lists and dicts; no NaN.

    Raises:
        MiscopeError: `exclude` names a run that there is not.
    """
    settings = settings or Settings()
    aside, kept = _set_aside(results, settings)
    targets = settings.targets or (BEYOND * float(results.budget.max()),)
    k = results.flops_per_parameter_token
    fits, refusal = _fits(results, kept, settings)
    headline = next((fit for fit in fits if fit.points.floor is not None), fits[0] if fits else None)
    ends = float(results.budget.min()), max(*targets, float(results.budget.max()))
    grid = np.geomspace(*ends, FRONTIER)
    curves = isoflop.curves(*(v[kept] for v in (results.budget, results.parameters, results.tokens, results.loss)))
    optima, noise = _optima(results, kept, curves, fits, settings)
    listed = scrutiny.outliers(results, kept, headline)
    found = {
        "schema": SCHEMA,
        "study": results.study,
        "convention": results.convention,
        "flops_per_parameter_token": k,
        "entropy": results.entropy,
        "level": bootstrap.LEVEL,
        "n_runs": len(results),
        "n_fitted": int(kept.sum()),
        "largest_budget": float(results.budget.max()),
        "targets": list(targets),
        "set_aside": aside,
        "refusal": refusal,
        "headline": headline.key if headline else None,
        "parametric": {fit.key: _parametric(fit, targets, grid, k, settings) for fit in fits},
        "isoflop": {o.shape: _isoflop(o, targets, grid, k) for o in optima},
        "curves": [{"budget": c.budget, "n_sizes": len(c.loss), "n_runs": int(c.n_runs.sum())} for c in curves],
        "n_off_curves": int(kept.sum() - sum(c.n_runs.sum() for c in curves)),
        "noise": noise,
        "bias": scrutiny.bias(curves, headline, targets, k),
        "outliers": listed,
        "sensitivity": scrutiny.sensitivity(results, kept, headline, listed, targets[-1], k),
        "held_out": scrutiny.held_out(results, kept, headline),
    }
    found["disagreement"] = scrutiny.disagreement(found)
    found["provenance"] = _provenance(results, settings)
    found["checklist"] = checklist.filled(results, found)
    return plain(found)


def plain(value: Any) -> Any:
    """The value as JSON knows it: dataclasses as dicts, what is not finite as absent."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _set_aside(results: Results, settings: Settings) -> tuple[list[dict[str, str]], Bool[np.ndarray, " run"]]:
    """The runs that no law is fitted to, each with its reason, and a mask of the others."""
    unknown = sorted(set(settings.exclude) - set(results.ids))
    if unknown:
        raise MiscopeError(f"`exclude` names the run `{unknown[0]}`; {results.study} has no run of that id.")
    found, kept = [], np.ones(len(results), dtype=bool)
    for i, name in enumerate(results.ids):
        reason = str(settings.exclude[name]) if name in settings.exclude else ""
        if not (np.isfinite(results.loss[i]) and results.loss[i] > 0):
            reason = "it has no finite loss above 0: it diverged, or was not measured"
        if reason:
            kept[i] = False
            found.append({"id": name, "reason": reason, "by": "settings" if name in settings.exclude else "fit"})
    return found, kept


def _fits(results: Results, kept: Bool[np.ndarray, " run"], settings: Settings) -> tuple[list[Fitted], Any]:
    """Every method with E free and, where it is known, held; or why there is none."""
    floors = (None,) if results.entropy is None else (None, results.entropy)
    found: list[Fitted] = []
    refusal = unfit(points_of(results, kept, None))
    for method, floor in () if refusal else product(METHODS, floors):
        if method in settings.methods:
            points = points_of(results, kept, floor)
            law = fitted(points, method)
            draws = min(settings.draws, FEW_DRAWS) if method == "asymmetric" else settings.draws
            laws = bootstrap.redrawn_laws(points, method, law, draws, settings.seed)
            found.append(Fitted(method + (KNOWN if floor is not None else ""), method, points, law, laws))
    return found, refusal


def _parametric(
    fit: Fitted, targets: tuple[float, ...], grid: Float[np.ndarray, " budget"], k: float, settings: Settings
) -> dict[str, Any]:
    residuals = fit.log_residuals
    return {
        "described": METHODS[fit.method] + (", E held at its known value" if fit.points.floor is not None else ""),
        "n_points": len(fit.points),
        "n_draws": len(np.atleast_1d(fit.draws.E)),
        "law": fit.law,
        "objective": objective(fit.points, fit.law, fit.method),
        "rms_log_residual": float(np.sqrt((residuals**2).mean())),
        "estimates": bootstrap.parameters(fit.points, fit.law, fit.draws),
        "targets": [
            {"budget": c, **bootstrap.at_budget(fit.law, fit.draws, c, k, residuals, settings.seed)} for c in targets
        ],
        "frontier": [
            {
                "budget": c,
                "parameters": _band(fit.law.best_parameters(c, k), fit.draws.best_parameters(c, k)),
                "tokens": _band(fit.law.best_tokens(c, k), fit.draws.best_tokens(c, k)),
                "loss": _band(fit.law.best_loss(c, k), fit.draws.best_loss(c, k)),
            }
            for c in map(float, grid)
        ],
    }


def _band(value: Any, draws: Any) -> list[float]:
    """[value, low, high], absent where the draws have none."""
    found = bootstrap.interval(float(value), np.asarray(draws))
    return [float("nan") if end is None else end for end in (found.value, found.low, found.high)]


def _optima(
    results: Results, kept: Bool[np.ndarray, " run"], curves: tuple[isoflop.Curve, ...], fits: list[Fitted],
    settings: Settings,
) -> tuple[list[isoflop.Optima], dict[str, Any]]:  # fmt: skip
    """Both shapes' optima; noise by repeats with other seeds, else the least that a smooth curve leaves over."""
    budget, sizes, loss = (v[kept] for v in (results.budget, results.parameters, results.loss))
    found = {"repeats with other seeds": isoflop.seed_noise(budget, sizes, loss)}
    if found["repeats with other seeds"] is None:
        found = {"what the parabolas leave over": isoflop.parabola_noise(curves)} | {
            f"what the law by {fit.key} leaves over": _spread(fit) for fit in fits
        }
    known = {source: sigma for source, sigma in found.items() if sigma is not None}
    source, sigma = min(known.items(), key=lambda pair: pair[1]) if known else ("nothing", 0.0)
    optima = [isoflop.optima(curves, shape, sigma, settings.draws, settings.seed) for shape in isoflop.SHAPES]
    return optima, {"sigma_nats": sigma if known else None, "from": source}


def _spread(fit: Fitted) -> float | None:
    error = fit.points.loss - np.asarray(fit.law.loss(fit.points.parameters, fit.points.tokens))
    freedom = len(fit.points) - 5 + (fit.points.floor is not None)
    return float(np.sqrt((error**2).sum() / freedom)) if freedom > 0 else None


def _isoflop(
    found: isoflop.Optima, targets: tuple[float, ...], grid: Float[np.ndarray, " budget"], k: float
) -> dict[str, Any]:
    line, draws = found.line, found.line_draws
    if line is None or draws is None:
        return {"minima": found.minima, "a": found.a, "targets": [], "frontier": []}
    asked = [isoflop.at_budget(line, draws, c, k) for c in targets]
    sizes = {c: (isoflop.best_parameters(line, c)[0], isoflop.best_parameters(draws, c)) for c in map(float, grid)}
    bands = [
        {"budget": c, "parameters": _band(one, many), "tokens": _band(c / k / one, c / k / many)}
        for c, (one, many) in sizes.items()
    ]
    return {"minima": found.minima, "a": found.a, "targets": asked, "frontier": bands}


def _provenance(results: Results, settings: Settings) -> dict[str, Any]:
    """What the fit was made from: two fits that agree here are the same fit."""
    modules = (power_laws, bootstrap, isoflop, parametric, scrutiny)
    code = (Path(__file__), *(Path(str(module.__file__)) for module in modules))
    return {
        "results": results.digest,
        "settings": {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)},
        "code": keys.digest_of_meaning(code),
        "versions": {"miscope": version("miscope"), "numpy": np.__version__, "scipy": scipy.__version__},
    }
