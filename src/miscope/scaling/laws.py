"""A study's fit, whole: every method with intervals, what they disagree on, what stood out, what was refused.

Source: the checklist is that of Li et al. 2025, arXiv:2502.18969, "(Mis)Fitting: A Survey of Scaling Laws", appendix.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import scipy
from jaxtyping import Bool

from miscope import keys
from miscope.core import MiscopeError
from miscope.scaling import fit, isoflop, parametric
from miscope.scaling.parametric import Fitted, Points, fitted, unfit
from miscope.scaling.results import Results

Mask = Bool[np.ndarray, " run"]
Answers = Mapping[str, str | None]

BEYOND = 10.0  # times the largest budget: where the laws are asked, unless the settings say
FRONTIER = 25  # budgets along a frontier
FEW_DRAWS = 200  # for the asymmetric error, which costs a linear programme per step
FAR = 5.0  # robust spreads from the law beyond which a run is listed
FORM = "L(N, D) = E + A / N^alpha + B / D^beta; N* ~ C^a with a = beta / (alpha + beta), C = {k:.4g} N D"
OPTIMIZERS = (
    "Huber: 300 starts of L-BFGS-B with the analytic gradient, the best 5 polished by BFGS. "
    "Squared: a 64 x 64 grid of exponents, non-negative least squares inside, Nelder-Mead. "
    "Asymmetric: a linear programme inside a search over the exponents. IsoFLOP: closed form."
)


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
    curves = isoflop.curves(*results.columns(kept))
    laws, refusal = _laws(results, kept, settings)
    headline = next((law for law in laws if law.points.floor is not None), laws[0] if laws else None)
    noise, listed = _noise(results, kept, curves, laws), _outliers(results, kept, headline)
    sigma = noise.sigma_nats or 0.0
    versions = {"miscope": version("miscope"), "numpy": np.__version__, "scipy": scipy.__version__}
    whole = fit.Fit(
        study=results.study, convention=results.convention, flops_per_parameter_token=k, entropy=results.entropy,
        level=fit.LEVEL, n_runs=len(results), n_fitted=int(kept.sum()), largest_budget=largest, targets=targets,
        set_aside=aside, refusal=refusal, headline=headline.key if headline else None,
        parametric={law.key: law.described(targets, budgets, k, seed) for law in laws},
        isoflop={s: isoflop.fitted(curves, s, sigma, draws, seed, targets, budgets, k) for s in fit.SHAPES},
        curves=tuple(fit.CurveSize(c.budget, len(c.loss), int(c.n_runs.sum())) for c in curves),
        n_off_curves=int(kept.sum() - sum(c.n_runs.sum() for c in curves)), noise=noise,
        bias=_bias(curves, headline, targets, k), outliers=listed,
        sensitivity=tuple(_sensitivity(results, kept, headline, listed, targets[-1], k)),
        held_out=_held_out(results, kept, headline), disagreement=fit.Disagreement({}, {}, targets[-1], ""),
        provenance=fit.Provenance(results.digest, settings, keys.digest_of_code(Path(__file__)), versions),
    )  # fmt: skip
    return replace(whole, disagreement=_disagreement(whole), checklist=tuple(_checklist(results, whole)))


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


def _points(results: Results, mask: Mask, floor: float | None) -> Points:
    _, parameters, tokens, loss = results.columns(mask)
    return Points(parameters, tokens, loss, floor)


def _laws(results: Results, kept: Mask, settings: fit.FitSettings) -> tuple[list[Fitted], fit.Refusal | None]:
    """Every method with E free and, where it is known, held; or why there is none."""
    if refusal := unfit(_points(results, kept, None)):
        return [], refusal
    laws: list[Fitted] = []
    for method, floor in product(fit.METHODS, (None,) if results.entropy is None else (None, results.entropy)):
        if method in settings.methods:
            points = _points(results, kept, floor)
            law = fitted(points, method)
            n = min(settings.draws, FEW_DRAWS) if method == "asymmetric" else settings.draws
            draws = parametric.redrawn_laws(points, method, law, n, settings.seed)
            laws.append(Fitted(method + (", E known" if floor is not None else ""), method, points, law, draws))
    return laws, None


def _noise(results: Results, kept: Mask, curves: Sequence[isoflop.Curve], laws: Sequence[Fitted]) -> fit.Noise:
    """By repeats with other seeds, else the least that a smooth curve leaves over."""
    budget, parameters, _, loss = results.columns(kept)
    repeats = isoflop.seed_noise(budget, parameters, loss)
    if repeats is not None:
        return fit.Noise(repeats, "repeats with other seeds")
    residuals = {"the residuals of the parabolas": isoflop.parabola_noise(curves)}
    residuals |= {f"the residuals of the law by {law.key}": law.spread() for law in laws}
    known = [(sigma, source) for source, sigma in residuals.items() if sigma is not None]
    return fit.Noise(*min(known, key=lambda pair: pair[0], default=(None, "nothing")))


def _bias(
    curves: Sequence[isoflop.Curve], headline: Fitted | None, targets: Sequence[float], k: float
) -> dict[fit.Shape, fit.Bias]:
    """What the IsoFLOP method answers on noise-free losses of the headline's law at the very sizes that ran.

    Source: Open-Athena 2026, scaling-law-analysis (the method's bias without noise).
    """
    if headline is None or not curves:
        return {}
    law = headline.law
    clean = [replace(curve, loss=np.asarray(law.loss(curve.parameters, curve.tokens))) for curve in curves]

    def ratio(at: fit.Target | fit.Minimum) -> fit.Ratio:
        return fit.Ratio(at.budget, (at.parameters.value or np.nan) / float(law.best_parameters(at.budget, k)))

    biases: dict[fit.Shape, fit.Bias] = {}
    for shape in fit.SHAPES:
        one = isoflop.fitted(clean, shape, 0.0, 2, 0, targets, k=k)
        ratios = tuple(map(ratio, one.targets)), tuple(map(ratio, one.minima))
        biases[shape] = fit.Bias(one.a.value, float(law.exponent), *ratios, one.a.refusal)
    return biases


def _outliers(results: Results, kept: Mask, headline: Fitted | None) -> tuple[fit.Outlier, ...]:
    """Runs that were fitted and stand out, each with its reasons. They are listed, not left out."""
    index = np.flatnonzero(kept)
    reasons: dict[int, list[str]] = {}
    if headline is not None:
        residuals = headline.points.log_residuals(headline.law)
        spread = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
        for i, residual in zip(index, residuals, strict=True):
            if spread > 0 and abs(residual) > FAR * spread:
                side = "above" if residual > 0 else "below"
                off = f"{abs(math.expm1(residual)):.1%} {side} the law, {abs(residual) / spread:.1f} robust spreads"
                reasons.setdefault(int(i), []).append(f"its loss lies {off}")
    if results.entropy is not None:
        for i in index[results.loss[kept] < results.entropy]:
            text = f"its loss lies below the source's entropy, {results.entropy:.4f} nats, which no model can reach"
            reasons.setdefault(int(i), []).append(text)
    return tuple(fit.Outlier(results.ids[i], float(results.loss[i]), tuple(reasons[i])) for i in sorted(reasons))


def _sensitivity(
    results: Results, kept: Mask, headline: Fitted | None, listed: Iterable[fit.Outlier], target: float, k: float
) -> Iterator[fit.Sensitivity]:
    """The headline's law with and without the runs in question."""
    if headline is None:
        return
    sets = {
        "the runs fitted": kept,
        "with those that the settings leave out": np.isfinite(results.loss) & (results.loss > 0),
        "without the outliers": kept & ~np.isin(np.array(results.ids), [outlier.id for outlier in listed]),
    }
    for i, (name, mask) in enumerate(sets.items()):
        if i and (mask == kept).all():
            continue
        points = _points(results, mask, headline.points.floor)
        if refusal := unfit(points):
            yield fit.Sensitivity(name, len(points), target, refusal)
        else:
            law = fitted(points, headline.method) if i else headline.law
            answers = float(law.exponent), float(law.best_parameters(target, k))
            yield fit.Sensitivity(name, len(points), target, None, law, *answers)


def _held_out(results: Results, kept: Mask, headline: Fitted | None) -> fit.HeldOut | None:
    """The law of all runs but those of most compute (the largest budget, or the last tenth), asked for those."""
    if headline is None:
        return None
    budgets = results.budget[kept]
    edge = min(float(np.quantile(budgets, 0.9)), float(budgets.max()) / isoflop.SAME_BUDGET)
    last = kept & (results.budget >= edge)
    first, rest = (_points(results, mask, headline.points.floor) for mask in (kept & ~last, last))
    if refusal := unfit(first):
        return fit.HeldOut(len(rest), refusal)
    error = np.asarray(fitted(first, headline.method).loss(rest.parameters, rest.tokens)) / rest.loss - 1
    return fit.HeldOut(len(rest), None, edge, float(np.abs(error).mean()), float(error.mean()))


def _disagreement(whole: fit.Fit) -> fit.Disagreement:
    """What the methods say of a and of N* at the last target, side by side, and a sentence."""
    a = {name: one.answers["a"] for name, one in whole.by_method.items()}
    sizes = {name: one.targets[-1].parameters.value for name, one in whole.by_method.items() if one.targets}
    exponents = [estimate.value for estimate in a.values() if estimate.value is not None]
    answered = [size for size in sizes.values() if size is not None]
    among = f" from {min(exponents):.3f} to {max(exponents):.3f}" if len(exponents) > 1 else ""
    text = f"{len(exponents)} of {len(a)} methods give an exponent{among}."
    if len(answered) > 1:
        ratio = max(answered) / min(answered)
        text += f" At {whole.targets[-1]:.3g} FLOPs their best sizes differ by a factor of {ratio:.2f}."
    return fit.Disagreement(a, sizes, whole.targets[-1], text)


def _checklist(results: Results, whole: fit.Fit) -> Iterator[fit.Item]:
    """What a reader needs to repeat the study, filled in from the runs and the fit."""
    parts = {"the law": _of_law(results, whole), "the runs": _of_runs(results), "the fit": _of_fit(whole)}
    for part, rows in parts.items():
        yield from (fit.Item(part, question, answer) for question, answer in rows.items())


def _of_law(results: Results, whole: fit.Fit) -> Answers:
    floor = None if results.entropy is None else f"known: {results.entropy:.4f} nats; fitted free and held there"
    return {
        "Which law is fitted?": FORM.format(k=whole.flops_per_parameter_token),
        "What is predicted?": "held-out loss at the end of a run, in nats",
        "How is N counted?": results.convention or None,
        "How is D counted?": "tokens seen in training",
        "How are FLOPs counted?": f"C = {whole.flops_per_parameter_token:.4g} N D by that N",
        "Is the floor E known?": floor or "no: fitted",
    }


def _of_runs(results: Results) -> Answers:
    runs = results.runs
    repeats = len(runs) - len({(run.budget, run.parameters) for run in runs})
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    return {
        "How many runs?": f"{len(runs)}, of which {repeats} repeat a size and budget",
        "Which seeds?": ", ".join(map(str, seeds)) or None,
        "What range of N?": _range(results.parameters),
        "What range of D?": _range(results.tokens),
        "What range of C in FLOPs?": _range(results.budget),
        "Which model?": _listed(run.model_class for run in runs),
        "Which data?": _listed(run.dataset_class for run in runs),
        "Which loss?": _listed(run.loss_class for run in runs),
        "How is the learning rate chosen?": _listed(run.learning_rate for run in runs),
        "Which schedule?": _listed(run.schedule for run in runs),
        "On what device?": _listed(run.device for run in runs),
        "Is data repeated?": _repetition(results),
        "Which file?": f"digest {results.digest}",
    }


def _of_fit(whole: fit.Fit) -> Answers:
    made, ahead, furthest = whole.provenance, whole.held_out, max(whole.targets)
    error = ahead.mean_absolute_relative_error if ahead else None
    versions = ", ".join(f"{name} {number}" for name, number in made.versions.items())
    return {
        "What is minimised?": "; ".join(f"{key}: {one.described}" for key, one in whole.parametric.items()) or None,
        "By which optimizer?": OPTIMIZERS,
        "How are intervals made?": f"{whole.level:.0%} percentile; {made.settings.draws:,} bootstraps of runs for the "
        f"law, as many redrawings of noise for IsoFLOP, noise from {whole.noise.source}; seed {made.settings.seed}",
        "Which runs are left out?": "; ".join(f"{run.id}: {run.reason}" for run in whole.set_aside) or "none",
        "Which outliers are kept?": ", ".join(run.id for run in whole.outliers) or "none",
        "Is the law tested on runs it has not seen?": None if ahead is None or error is None else
        f"yes: fitted without the {ahead.n} runs of most compute, it misses their loss by {error:.2%} on average",
        "How far is it extrapolated?": f"to {furthest:.3g} FLOPs, "
        f"{furthest / whole.largest_budget:.3g} times the largest budget",
        "Which code?": f"digest {made.code}, {versions}",
    }  # fmt: skip


def _repetition(results: Results) -> str | None:
    """By the records' epochs, which a point has none of whose data are a stream."""
    trained = [run for run in results.runs if run.steps is not None]
    most = max((run.epochs for run in trained if run.epochs is not None), default=None)
    stream = "no: the data are unlimited" if trained else None
    return stream if most is None else f"seen {most:.3g} times at most"


def _range(values: np.ndarray) -> str:
    return f"{values.min():.4g} to {values.max():.4g}, {len(set(values.tolist()))} different"


def _listed(values: Iterable[str | float | None]) -> str | None:
    given = sorted({value for value in values if value is not None}, key=str)
    texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in given]
    return ", ".join(texts[:6]) + (f" and {len(texts) - 6} more" if len(texts) > 6 else "") if texts else None
