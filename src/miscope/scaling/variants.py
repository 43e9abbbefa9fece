"""Points of a study as variants: every instrument looks at them, and what it finds can be drawn against scale.

A point whose data are a family's, and whose checkpoints were kept (`keep_checkpoints: true`), becomes an entry of
params.yaml that imports those checkpoints; `dvc repro report@NAME` then analyses it like any other variant.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from miscope.core import MiscopeError, field_names
from miscope.report import lead_lag
from miscope.scaling import planfile, results
from miscope.scaling.datasets.family import FamilyData, Text
from miscope.workspace import configuration, files, store

GIVEN = ("n_ctx", "d_vocab", "d_vocab_out")  # of a model's shape, what its task decides
FAMILIES = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in (FamilyData, Text)}


def name_of(study: str, point: str) -> str:
    """The variant that a point is declared as."""
    return f"{study}_{point}"


def declare(root: Path, study: str) -> Iterator[str]:
    """Add each point that is not declared yet to params.yaml; what comes back are lines that say so.

    Raises:
        MiscopeError: there are no runs, no checkpoint was kept, or the data are no family's, so there is no probe.
    """
    runs = planfile.path(root, study).parent / "runs"
    declared, points = configuration.load(root).variants, results.read(results.path(root, study), study).runs
    configs = {point["id"]: point["config"] for point in planfile.read(root, study)["points"]}
    for point in points:
        name, folder = name_of(study, point["id"]), files.Folder(runs / point["id"])
        if name in declared:
            continue
        if not folder.checkpoint_steps():
            raise MiscopeError(
                f"The points of `{study}` kept no checkpoints; set `scaling.{study}.keep_checkpoints: true` and run "
                f"`dvc repro run@{study}`."
            )
        configuration.add(root, name, _entry(root, study, configs[point["id"]], folder))
        yield f"{name}: {point['parameters']:,.0f} parameters, {point['tokens']:,.0f} tokens"
    yield f"Run `dvc repro report@{study}_...` for each, or `dvc repro` for all, to analyse them."


def against_scale(root: Path, study: str, measure: str) -> pd.DataFrame:
    """When a measure moved in each analysed point: one row per point in which it did.

    `parameters` N, `before` < onset <= `by` in tokens seen; its values at both ends; the `loss` in nats.

    Raises:
        MiscopeError: no point is analysed, or none has a measure of this name that moved.
    """
    runs = {name_of(study, run["id"]): run for run in results.read(results.path(root, study), study).runs}
    names = [name for name in configuration.load(root).variants if name in runs]
    if not names:
        raise MiscopeError(f"No point of `{study}` is a variant. Run `python -m miscope points {study}`.")
    moved = lead_lag.onsets(root, names)
    chosen = moved[moved["measure"] == measure]
    if not len(chosen):
        known = ", ".join(sorted(name for name in set(moved["measure"]) if " of " not in name)[:12])
        raise MiscopeError(f"`{measure}` moved in no point of `{study}`; some that did: {known}.")
    rows = []
    for row in chosen.itertuples():
        run = runs[str(row.variant)]
        per_step = run["tokens"] / run["steps"]
        rows.append(
            {
                "variant": row.variant,
                "parameters": run["parameters"],
                "budget": run["budget"],
                "before": row.before * per_step,
                "by": row.by * per_step,
                "start": row.start,
                "end": row.end,
                "loss": run["loss"],
            }
        )
    return pd.DataFrame(rows).sort_values(["budget", "parameters"], ignore_index=True)


def _entry(root: Path, study: str, made: Mapping[str, Any], folder: files.Folder) -> dict[str, Any]:
    """The entry of params.yaml: the family with its settings, the shape that its own does not say, the checkpoints."""
    settings = dict(made["dataset"])
    kind = FAMILIES.get(settings.pop("_target_"))
    if kind is None:
        raise MiscopeError(
            f"The data of `{study}` are no family's, so there is no probe to look with; use `dataset: {{name: family, "
            "family: ...}}` or `text`."
        )
    family = settings.pop("family", "text")
    steps = folder.checkpoint_steps()
    entry = {"family": family, **settings, "seed": made["seed"], "steps": steps[-1], "checkpoints": list(steps)}
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
