"""A study for its readers: a fit as tables, as lines and as one page of HTML; its points as variants."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from miscope.core import MiscopeError, field_names
from miscope.report import html
from miscope.scaling import documents, results
from miscope.scaling.documents import Config
from miscope.scaling.fit import WORDS, Estimate, Fit
from miscope.scaling.views import figure_of, views_of
from miscope.workspace import Workspace, configuration, files, store
from miscope.workspace.files import Folder

QUANTITIES = {**WORDS, "loss": "loss", "predicted_loss": "loss of one run"}
ANSWER = ("value", "low", "high", "standard error", "refused")
GIVEN = ("n_ctx", "d_vocab", "d_vocab_out")  # of a model's shape, what its task decides
FAMILIES = "miscope.scaling.datasets.family"


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
    for name, table in (("numbers", estimates(fit)), ("targets", targets(fit)), ("checklist", checklist(fit))):
        sections[name] = _as_html(table)
    facts = {
        "runs": f"{fit.n_fitted} fitted of {fit.n_runs}",
        "N": fit.convention,
        "methods": fit.disagreement.sentence,
        "bias of IsoFLOP": fit.bias_sentence,
    } | ({"refused": fit.refusal.sentence} if fit.refusal else {})
    written[where / "index.html"] = html.page(f"{fit.study}: scaling law", facts, sections)
    for file, content in written.items():
        files.write(file, content)
    files.sweep(where, set(written))
    return sorted(written)


def _as_html(table: pd.DataFrame) -> str:
    return str(table.to_html(index=False, float_format=lambda v: f"{v:.5g}", na_rep="", border=0, classes="numbers"))


def estimates(fit: Fit) -> pd.DataFrame:
    """One row per method and parameter, with its interval or the refusal."""
    answers = ((method, *answer) for method, one in fit.by_method.items() for answer in one.answers.items())
    rows = [(method, name, *_numbers(answer)) for method, name, answer in answers]
    return pd.DataFrame(rows, columns=["method", "parameter", *ANSWER])


def targets(fit: Fit) -> pd.DataFrame:
    """One row per method, budget and quantity."""
    rows = [
        (method, at.budget, text, *_numbers(getattr(at, name)))
        for method, one in fit.by_method.items()
        for at in one.targets
        for name, text in QUANTITIES.items()
        if hasattr(at, name)
    ]
    return pd.DataFrame(rows, columns=["method", "budget", "quantity", *ANSWER])


def _numbers(one: Estimate) -> tuple[Any, ...]:
    return one.value, one.low, one.high, one.standard_error, str(one.refusal or "")


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


def lines_of(fit: Fit) -> Iterator[str]:
    """What a fit says, with its intervals and refusals."""
    if fit.refusal:
        yield f"refused, {fit.refusal}"
    for row in estimates(fit).to_dict("records"):
        ends = "" if pd.isna(row["low"]) or pd.isna(row["high"]) else f"{row['low']:.5g} to {row['high']:.5g}"
        yield f"{row['method']:18} {row['parameter']:6} {ends:24} {row['refused'] or format(row['value'], '.5g')}"
    yield from (f"left out: {run.id}: {run.reason}" for run in fit.set_aside)
    yield from (f"stands out: {run.id}: {'; '.join(run.reasons)}" for run in fit.outliers)
    for some in fit.sensitivity:
        law = ", ".join(f"{name} {value:.5g}" for name, value in vars(some.law).items()) if some.law else ""
        yield f"{some.runs}, {some.n}: {law or (some.refusal and some.refusal.sentence)}"
    yield fit.disagreement.sentence
    yield f"Bias of IsoFLOP: {fit.bias_sentence}"


def declare_points(workspace: Workspace, study: str) -> Iterator[str]:
    """Declare points as variants of params.yaml that import the points' checkpoints, and say so.

    `dvc repro report@NAME` then analyses one like any other variant.

    Raises:
        MiscopeError: there are no runs, no checkpoint was kept, or the data are no family's, so there is no probe.
    """
    root, declared = workspace.root, workspace.variants
    records = results.of_study(root, study).runs
    configs = {point.id: point.config for point in documents.read_plan(root, study).points}
    for run in records:
        name, folder = name_of(study, run.id), Folder(documents.path(root, study, f"runs/{run.id}"))
        if name in declared:
            continue
        if not folder.checkpoint_steps():
            raise MiscopeError(
                f"The points of `{study}` kept no checkpoints; set `scaling.{study}.keep_checkpoints: true` and run "
                f"`dvc repro run@{study}`."
            )
        configuration.add(root, name, _entry(root, study, configs[run.id], folder))
        yield f"{name}: {run.parameters:,.0f} parameters, {run.tokens:,.0f} tokens"
    yield f"Run `dvc repro report@{study}_...` for each, or `dvc repro` for all, to analyse them."


def _entry(root: Path, study: str, made: Config, folder: Folder) -> dict[str, Any]:
    """The entry of params.yaml: the family with its settings, the shape that its own does not say, the checkpoints."""
    settings = dict(made.dataset)
    if settings.pop("_target_").rpartition(".")[0] != FAMILIES:
        raise MiscopeError(
            f"The data of `{study}` do not come from a family, so there is no probe; use `dataset: {{name: family, "
            "family: ...}}` or `text`."
        )
    family = settings.pop("family", "text")
    steps = folder.checkpoint_steps()
    entry = {"family": family, **settings, "seed": made.seed, "steps": steps[-1], "checkpoints": list(steps)}
    own = configuration.variant("point", entry, root).family.model()
    model = store.model_config(folder.checkpoint(steps[-1]))
    shape = {f: v for f in field_names(type(model)) if (v := getattr(model, f)) != getattr(own, f)}
    for name in GIVEN:
        if name in shape:
            wanted = getattr(own, name)
            raise MiscopeError(
                f"The points of `{study}` have `{name}` = {shape[name]}, and `{family}` has {wanted}; say "
                f"`model: {{{name}: {wanted}}}` in the study."
            )
    return {**entry, "model": shape, "imported": folder.checkpoints.relative_to(root).as_posix()}


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
        raise MiscopeError(f"`{measure}` changed in no point of `{study}`; measures that did: {known}.")
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
