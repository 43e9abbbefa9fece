"""A study's fit, whole: every method with intervals, what they disagree on, what stood out, what was refused."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import scipy

from miscope import keys
from miscope.core import MiscopeError
from miscope.scaling import diagnostics, fit, isoflop, parametric
from miscope.scaling.diagnostics import Mask, points_of
from miscope.scaling.parametric import Fitted
from miscope.scaling.results import Results

BEYOND = 10.0  # times the largest budget: where the laws are asked, unless the settings say
FRONTIER = 25  # budgets along a frontier
FEW_DRAWS = 200  # for the asymmetric error, which costs a linear programme per step
KNOWN = ", E known"


def fit_of(results: Results, settings: fit.FitSettings | None = None) -> fit.Fit:
    """What the runs say; the same runs and settings give the same bytes.

    Raises:
        MiscopeError: `exclude` names a run that there is not.
    """
    settings = settings or fit.FitSettings()
    draws, seed, aside = settings.draws, settings.seed, _set_aside(results, settings)
    kept = ~np.isin(np.array(results.ids), [run.id for run in aside])
    largest, k = float(results.budget.max()), results.flops_per_parameter_token
    targets = settings.targets or (BEYOND * largest,)
    budgets = np.geomspace(float(results.budget.min()), max(*targets, largest), FRONTIER).tolist()
    curves = isoflop.curves(*(v[kept] for v in (results.budget, results.parameters, results.tokens, results.loss)))
    laws, refusal = _laws(results, kept, settings)
    headline = next((law for law in laws if law.points.floor is not None), laws[0] if laws else None)
    noise, listed = _noise(results, kept, curves, laws), diagnostics.outliers(results, kept, headline)
    sigma = noise.sigma_nats or 0.0
    whole = fit.Fit(
        study=results.study, convention=results.convention, flops_per_parameter_token=k, entropy=results.entropy,
        level=fit.LEVEL, n_runs=len(results), n_fitted=int(kept.sum()), largest_budget=largest, targets=targets,
        set_aside=aside, refusal=refusal, headline=headline.key if headline else None,
        parametric={law.key: law.described(targets, budgets, k, seed) for law in laws},
        isoflop={s: isoflop.fitted(curves, s, sigma, draws, seed, targets, budgets, k) for s in fit.SHAPES},
        curves=tuple(fit.CurveSize(c.budget, len(c.loss), int(c.n_runs.sum())) for c in curves),
        n_off_curves=int(kept.sum() - sum(c.n_runs.sum() for c in curves)), noise=noise,
        bias=diagnostics.bias(curves, headline, targets, k), outliers=listed,
        sensitivity=tuple(diagnostics.sensitivity(results, kept, headline, listed, targets[-1], k)),
        held_out=diagnostics.held_out(results, kept, headline),
        disagreement=fit.Disagreement({}, {}, targets[-1], ""), provenance=_provenance(results, settings),
    )  # fmt: skip
    whole = replace(whole, disagreement=diagnostics.disagreement(whole))
    return replace(whole, checklist=tuple(diagnostics.checklist(results, whole)))


def _set_aside(results: Results, settings: fit.FitSettings) -> tuple[fit.SetAside, ...]:
    """The runs that no law is fitted to, each with its reason."""
    unknown = sorted(set(settings.exclude) - set(results.ids))
    if unknown:
        raise MiscopeError(f"`exclude` names the run `{unknown[0]}`; {results.study} has no run of that id.")
    aside = []
    for name, loss in zip(results.ids, results.loss, strict=True):
        reason = str(settings.exclude.get(name, ""))
        if not (np.isfinite(loss) and loss > 0):
            reason = "it has no finite loss above 0: it diverged, or was not measured"
        if reason:
            aside.append(fit.SetAside(name, reason, "settings" if name in settings.exclude else "fit"))
    return tuple(aside)


def _laws(results: Results, kept: Mask, settings: fit.FitSettings) -> tuple[list[Fitted], fit.Refusal | None]:
    """Every method with E free and, where it is known, held; or why there is none."""
    floors = (None,) if results.entropy is None else (None, results.entropy)
    laws: list[Fitted] = []
    refusal = parametric.unfit(points_of(results, kept, None))
    for method, floor in () if refusal else product(fit.METHODS, floors):
        if method in settings.methods:
            points = points_of(results, kept, floor)
            law = parametric.fitted(points, method)
            n = min(settings.draws, FEW_DRAWS) if method == "asymmetric" else settings.draws
            draws = parametric.redrawn_laws(points, method, law, n, settings.seed)
            laws.append(Fitted(method + (KNOWN if floor is not None else ""), method, points, law, draws))
    return laws, refusal


def _noise(results: Results, kept: Mask, curves: Sequence[isoflop.Curve], laws: Sequence[Fitted]) -> fit.Noise:
    """By repeats with other seeds, else the least that a smooth curve leaves over."""
    repeats = isoflop.seed_noise(*(v[kept] for v in (results.budget, results.parameters, results.loss)))
    if repeats is not None:
        return fit.Noise(repeats, "repeats with other seeds")
    left_over = {"the parabolas leave": isoflop.parabola_noise(curves)}
    left_over |= {f"the law by {law.key} leaves": _spread(law) for law in laws}
    known = [(sigma, f"what {source} over") for source, sigma in left_over.items() if sigma is not None]
    return fit.Noise(*min(known, key=lambda pair: pair[0], default=(None, "nothing")))


def _spread(law: Fitted) -> float | None:
    error = law.points.loss - np.asarray(law.law.loss(law.points.parameters, law.points.tokens))
    freedom = len(law.points) - 5 + (law.points.floor is not None)
    return float(np.sqrt((error**2).sum() / freedom)) if freedom > 0 else None


def _provenance(results: Results, settings: fit.FitSettings) -> fit.Provenance:
    versions = {"miscope": version("miscope"), "numpy": np.__version__, "scipy": scipy.__version__}
    return fit.Provenance(results.digest, settings, keys.digest_of_code(Path(__file__)), versions)
