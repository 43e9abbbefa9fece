"""A study's page: the numbers as tables, the files of the pictures, and one page of HTML with all of it."""

from pathlib import Path
from typing import Any

import pandas as pd

from miscope.core import MiscopeError
from miscope.report import html
from miscope.scaling import documents, results
from miscope.scaling.fit import Estimate, Fit
from miscope.scaling.views import figure_of, views_of
from miscope.workspace import Workspace, files

QUANTITIES = {
    "parameters": "N*",
    "tokens": "D*",
    "tokens_per_parameter": "D*/N*",
    "loss": "loss",
    "predicted_loss": "loss of one run",
}
ANSWER = ("value", "low", "high", "standard error", "refused")


def write(root: Path, study: str) -> list[Path]:
    """Draws the study's fit; returns the files written. Those of pictures that are drawn no more are removed."""
    fit, runs = Fit.of_study(root, study), results.of_study(root, study)
    where = documents.path(root, study, "figures")
    written: dict[Path, str] = {}
    sections: dict[str, str] = {}
    for view in views_of(fit):
        table, figure = figure_of(view, fit, runs)
        drawing = figure.to_json()
        written |= {where / f"{view.leaf}.json": drawing, where / f"{view.leaf}.csv": table.to_csv(index=False)}
        details = f"<details><summary>table</summary>{_as_html(table.head(200))}</details>"
        sections[view.leaf] = html.figure(f"figure_{view.leaf}", drawing, view.reading) + details
    tables = {"numbers": estimates(fit), "targets": targets(fit), "checklist": checklist(fit)}
    sections |= {name: _as_html(table) for name, table in tables.items()}
    written[where / "index.html"] = html.page(f"{fit.study}: scaling law", _facts(fit), sections)
    for file, content in written.items():
        files.write(file, content)
    files.sweep(where, set(written))
    return sorted(written)


def _facts(fit: Fit) -> dict[str, str]:
    refused = {"refused": fit.refusal.sentence} if fit.refusal else {}
    return {
        "runs": f"{fit.n_fitted} fitted of {fit.n_runs}",
        "N": fit.convention,
        "methods": fit.disagreement.sentence,
        "bias of IsoFLOP": fit.bias_sentence,
        **refused,
    }


def _as_html(table: pd.DataFrame) -> str:
    return str(table.to_html(index=False, float_format=lambda v: f"{v:.5g}", na_rep="", border=0, classes="numbers"))


def estimates(fit: Fit) -> pd.DataFrame:
    """One row per method and parameter, with its interval or the refusal."""
    rows = [
        {"method": method, "parameter": name, **_answer(estimate)}
        for method, one in fit.by_method.items()
        for name, estimate in one.answers.items()
    ]
    return pd.DataFrame(rows, columns=["method", "parameter", *ANSWER])


def targets(fit: Fit) -> pd.DataFrame:
    """One row per method, budget and quantity."""
    rows = [
        {"method": method, "budget": at.budget, "quantity": text, **_answer(getattr(at, name))}
        for method, one in fit.by_method.items()
        for at in one.targets
        for name, text in QUANTITIES.items()
        if hasattr(at, name)
    ]
    return pd.DataFrame(rows, columns=["method", "budget", "quantity", *ANSWER])


def _answer(one: Estimate) -> dict[str, Any]:
    numbers = one.value, one.low, one.high, one.standard_error
    return dict(zip(ANSWER, (*numbers, str(one.refusal or "")), strict=True))


def checklist(fit: Fit) -> pd.DataFrame:
    return pd.DataFrame(documents.plain(fit.checklist), columns=["part", "question", "answer"]).fillna("not recorded")


def sensitivity(fit: Fit) -> pd.DataFrame:
    """One row per set of runs that the law was fitted to."""
    rows = [
        {"runs": row.runs, "n": row.n, **({} if row.law is None else vars(row.law)), "a": row.a, "N*": row.parameters,
         "at FLOPs": row.budget, "refused": row.refusal.sentence if row.refusal else ""}
        for row in fit.sensitivity
    ]  # fmt: skip
    return pd.DataFrame(rows)


def questioned(fit: Fit) -> pd.DataFrame:
    """The runs that were left out, and those that stand out."""
    rows = [{"id": run.id, "left out": True, "reason": run.reason} for run in fit.set_aside]
    rows += [{"id": run.id, "left out": False, "reason": "; ".join(run.reasons)} for run in fit.outliers]
    return pd.DataFrame(rows)


def against_scale(workspace: Workspace, study: str, measure: str) -> pd.DataFrame:
    """When a measure moved in each analysed point: one row per point in which it did.

    `parameters` N, `before` < onset <= `by` in tokens seen; its values at both ends; the `loss` in nats.

    Raises:
        MiscopeError: no point is analysed, or none has a measure of this name that moved.
    """
    from miscope.report import lead_lag  # with every instrument, which the page's other parts do without

    runs = {name_of(study, run.id): run for run in results.of_study(workspace.root, study).runs}
    names = [name for name in workspace.variants if name in runs]
    if not names:
        raise MiscopeError(f"No point of `{study}` is a variant. Run `python -m miscope points {study}`.")
    moved = lead_lag.onsets([workspace.load(name) for name in names])
    chosen = moved[moved["measure"] == measure]
    if not len(chosen):
        known = ", ".join(sorted(name for name in set(moved["measure"]) if " of " not in name)[:12])
        raise MiscopeError(f"`{measure}` moved in no point of `{study}`; some that did: {known}.")
    table = chosen[["variant", "before", "by", "start", "end"]].copy()
    for column in ("parameters", "budget", "loss"):
        table[column] = [getattr(runs[name], column) for name in table["variant"]]
    per_step = [runs[name].tokens / (runs[name].steps or 1) for name in table["variant"]]
    table[["before", "by"]] = table[["before", "by"]].mul(per_step, axis=0)
    columns = ["variant", "parameters", "budget", "before", "by", "start", "end", "loss"]
    return table[columns].sort_values(["budget", "parameters"], ignore_index=True)


def name_of(study: str, point: str) -> str:
    """The variant that a point is declared as."""
    return f"{study}_{point}"
