"""What a reader needs to repeat a scaling study, filled in from the runs and the fit; what nobody recorded says so.

Source: Li et al. 2025, arXiv:2502.18969, "(Mis)Fitting: A Survey of Scaling Laws", appendix (the checklist).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from miscope.scaling.results import Results

FORM = "L(N, D) = E + A / N^alpha + B / D^beta; N* ~ C^a with a = beta / (alpha + beta), C = {k:.4g} N D"


def filled(results: Results, found: Mapping[str, Any]) -> list[dict[str, str | None]]:
    """UniqueRows of part, question and answer; an answer is None where nothing was recorded."""
    return [
        {"part": part, "question": question, "answer": answer}
        for part, rows in (("the law", _law(results, found)), ("the runs", _runs(results)), ("the fit", _fit(found)))
        for question, answer in rows.items()
    ]


def _law(results: Results, found: Mapping[str, Any]) -> dict[str, str | None]:
    floor = None if results.entropy is None else f"known: {results.entropy:.4f} nats; fitted free and held there"
    return {
        "Which law is fitted?": FORM.format(k=found["flops_per_parameter_token"]),
        "What is predicted?": "held-out loss at the end of a run, in nats",
        "How is N counted?": results.convention or None,
        "How is D counted?": "tokens seen in training",
        "How are FLOPs counted?": f"C = {found['flops_per_parameter_token']:.4g} N D by that N",
        "Is the floor E known?": floor or "no: fitted",
    }


def _runs(results: Results) -> dict[str, str | None]:
    repeats = len(results) - len(set(zip(results.budget.tolist(), results.parameters.tolist(), strict=True)))
    seeds = {run["seed"] for run in results.runs if run.get("seed") is not None}
    return {
        "How many runs?": f"{len(results)}, of which {repeats} repeat a size and budget",
        "Which seeds?": ", ".join(map(str, sorted(seeds))) if seeds else None,
        "What range of N?": _range(results.parameters),
        "What range of D?": _range(results.tokens),
        "What range of C in FLOPs?": _range(results.budget),
        "Which model?": _listed(results, "model_class"),
        "Which data?": _listed(results, "dataset_class"),
        "Which loss?": _listed(results, "loss_class"),
        "How is the learning rate chosen?": _listed(results, "learning_rate"),
        "Which schedule?": _listed(results, "schedule"),
        "On what device?": _listed(results, "device"),
        "Is data repeated?": _repetition(results),
        "Which file?": f"digest {results.digest}",
    }


def _fit(found: Mapping[str, Any]) -> dict[str, str | None]:
    settings = found["provenance"]["settings"]
    methods = "; ".join(f"{key}: {fit['described']}" for key, fit in found["parametric"].items())
    aside, listed = found["set_aside"], found["outliers"]
    ahead = found["held_out"]
    error = ahead.get("mean_absolute_relative_error")
    return {
        "What is minimised?": methods or None,
        "By which optimizer?": "Huber: 300 starts of L-BFGS-B with the analytic gradient, the best 5 polished by BFGS. "
        "Squared: a 64 x 64 grid of exponents, non-negative least squares inside, Nelder-Mead. "
        "Asymmetric: a linear programme inside a search over the exponents. IsoFLOP: closed form.",
        "How are intervals made?": f"{found['level']:.0%} percentile; {settings['draws']:,} bootstraps of runs for the "
        f"law, as many redrawings of noise for IsoFLOP, noise from {found['noise']['from']}; seed {settings['seed']}",
        "Which runs are left out?": "; ".join(f"{row['id']}: {row['reason']}" for row in aside) or "none",
        "Which runs stand out, and stay in?": ", ".join(row["id"] for row in listed) or "none",
        "Is the law tested on runs it has not seen?": None if error is None else
        f"yes: fitted without the {ahead['n']} runs of most compute, it misses their loss by {error:.2%} on average",
        "How far is it extrapolated?": f"to {max(found['targets']):.3g} FLOPs, "
        f"{max(found['targets']) / found['largest_budget']:.3g} times the largest budget",
        "Which code?": f"digest {found['provenance']['code']}, "
        + ", ".join(f"{name} {number}" for name, number in found["provenance"]["versions"].items()),
    }  # fmt: skip


def _repetition(results: Results) -> str | None:
    """By the records' `epochs`, which is None where the data are a stream."""
    found = [run["epochs"] for run in results.runs if "epochs" in run]
    if not found:
        return None
    most = max((epochs for epochs in found if epochs is not None), default=None)
    return "no: the data are a stream without end" if most is None else f"seen {most:.3g} times at most"


def _range(values: np.ndarray) -> str:
    return f"{values.min():.4g} to {values.max():.4g}, {len(set(values.tolist()))} different"


def _listed(results: Results, key: str) -> str | None:
    given = {run[key] for run in results.runs if run.get(key) is not None}
    found = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in sorted(given, key=str)]
    return ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "") if found else None
