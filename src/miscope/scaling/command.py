"""What the command line says of scaling studies, line by line: a plan with its hours, a fit, points as variants."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from miscope.core import MiscopeError, field_names
from miscope.scaling import documents, laws, page, results
from miscope.scaling.documents import Config, Plan, Point
from miscope.workspace import Workspace, configuration, store
from miscope.workspace.files import Folder

WARM, TIMED = 2, 4  # updates
MOST_FLOPS = 1e12  # of an update that is timed; larger ones are taken to run at the best speed that was seen
GIVEN = ("n_ctx", "d_vocab", "d_vocab_out")  # of a model's shape, what its task decides
FAMILIES = "miscope.scaling.datasets.family"


def plan(workspace: Workspace, name: str) -> Iterator[str]:
    """The points of a study, what is odd about them, and the hours that they take here."""
    from miscope.scaling import planner, study  # with torch, which a fit does without

    yield from lines_of(planner.plan(study.load(workspace.root, name)))


def lines_of(plan: Plan) -> Iterator[str]:
    """A line for each point, the notes, the hours."""
    from miscope.scaling.sweep import default_jobs

    seconds = expected_seconds(plan)
    yield f"{'id':12} {'budget':>9} {'N':>13} {'D':>15} {'updates':>9} {'epochs':>7} {'rate':>9} {'seconds':>9}"
    for p in plan.points:
        epochs = "fresh" if p.epochs is None else f"{p.epochs:.2f}"
        yield (
            f"{p.id:12} {p.budget:9.2e} {p.parameters:13,} {p.tokens:15,} {p.steps:9,} {epochs:>7} "
            f"{p.learning_rate:9.2e} {seconds[p.id]:9.1f}"
        )
    yield plan.convention
    if plan.entropy is not None:
        yield f"No loss can fall below {plan.entropy:.4f} nats, the entropy."
    yield from plan.notes
    total, jobs = sum(seconds.values()), default_jobs(plan)
    each = f", {total / jobs / 3600:.2f} h with {jobs} side by side" if jobs > 1 else ""
    yield f"Expected here: {total / 3600:.2f} h{each}."


def expected_seconds(plan: Plan) -> dict[str, float]:
    """By id of a point, by timing a few updates of every size; the evaluation at its end is not counted."""
    import torch

    from miscope.scaling.sweep import cost

    speeds: dict[str, float] = {}  # FLOPs a second, by a model's settings
    before = torch.get_num_threads()
    torch.set_num_threads(plan.running.threads)
    for point in sorted(plan.points, key=lambda point: point.parameters):
        model = str(point.config.model)
        if model not in speeds and point.flops_counted / point.steps <= MOST_FLOPS:
            speeds[model] = cost(point) / point.steps / _seconds_an_update(plan, point)
    torch.set_num_threads(before)
    best = max(speeds.values(), default=1e9)
    return {p.id: cost(p) / speeds.get(str(p.config.model), best) for p in plan.points}


def _seconds_an_update(plan: Plan, planned: Point) -> float:
    from miscope.scaling.point import trainer_of

    trainer = trainer_of(plan, planned)
    for i in range(WARM + TIMED):
        if i == WARM:
            began = time.perf_counter()
        trainer.advance().item()
    return (time.perf_counter() - began) / TIMED


def fit(workspace: Workspace, path: str) -> Iterator[str]:
    """A law fitted to anyone's runs, with intervals and refusals."""
    whole = laws.fit_of(results.read(Path(path)))
    if whole.refusal:
        yield f"refused, {whole.refusal.kind}: {whole.refusal.sentence}"
    for row in page.estimates(whole).to_dict("records"):
        ends = "" if pd.isna(row["low"]) or pd.isna(row["high"]) else f"{row['low']:.5g} to {row['high']:.5g}"
        yield f"{row['method']:18} {row['parameter']:6} {ends:24} {row['refused'] or format(row['value'], '.5g')}"
    yield from (f"left out: {run.id}: {run.reason}" for run in whole.set_aside)
    yield from (f"stands out: {run.id}: {'; '.join(run.reasons)}" for run in whole.outliers)
    for some in whole.sensitivity:
        law = ", ".join(f"{name} {value:.5g}" for name, value in vars(some.law).items()) if some.law else ""
        yield f"{some.runs}, {some.n}: {law or (some.refusal and some.refusal.sentence)}"
    yield whole.disagreement.sentence
    yield f"Bias of IsoFLOP: {whole.bias_sentence}"


def points(workspace: Workspace, study: str) -> Iterator[str]:
    """Declare points as variants of params.yaml that import the points' checkpoints, and say so.

    `dvc repro report@NAME` then analyses one like any other variant.

    Raises:
        MiscopeError: there are no runs, no checkpoint was kept, or the data are no family's, so there is no probe.
    """
    root, declared = workspace.root, workspace.variants
    records = results.of_study(root, study).runs
    configs = {point.id: point.config for point in documents.read_plan(root, study).points}
    for run in records:
        name, folder = page.name_of(study, run.id), Folder(documents.path(root, study, f"runs/{run.id}"))
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
            f"The data of `{study}` are no family's, so there is no probe to look with; use `dataset: {{name: family, "
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
            raise MiscopeError(
                f"The points of `{study}` have `{name}` = {shape[name]}, and `{family}` has {getattr(own, name)}; say "
                f"`model: {{{name}: {getattr(own, name)}}}` in the study."
            )
    return {**entry, "model": shape, "imported": folder.checkpoints.relative_to(root).as_posix()}
