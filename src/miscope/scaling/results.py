"""The measured points of a study as arrays: from `results.json`, which the runs write, or from anyone's CSV."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from miscope import keys
from miscope.core import MiscopeError

SCHEMA = 1
FLOPS_PER_PARAMETER_TOKEN = 6.0
COLUMNS = {
    "parameters": ("n", "parameters", "params", "model size", "model_size"),
    "tokens": ("d", "tokens", "training tokens"),
    "budget": ("c", "budget", "flops", "flop", "training flop", "compute"),
    "loss": ("l", "loss"),
    "id": ("id", "run", "name"),
    "seed": ("seed",),
}


@dataclass(frozen=True)
class Results:
    """One entry per run. `loss` is held-out, in nats, NaN where none was measured; `budget` in FLOPs."""

    study: str
    convention: str  # how N is counted, in words
    entropy: float | None  # the known floor of the loss in nats
    ids: tuple[str, ...]
    parameters: Float[np.ndarray, " run"]
    tokens: Float[np.ndarray, " run"]
    budget: Float[np.ndarray, " run"]
    loss: Float[np.ndarray, " run"]
    digest: str  # of the file
    runs: tuple[Mapping[str, Any], ...]  # all else that the file says of each run

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def flops_per_parameter_token(self) -> float:
        """k of C = k N D: 6 where the runs agree with that within 2 %, else their median."""
        found = float(np.median(self.budget / (self.parameters * self.tokens)))
        return FLOPS_PER_PARAMETER_TOKEN if abs(found / FLOPS_PER_PARAMETER_TOKEN - 1) < 0.02 else found


def path(root: Path, study: str) -> Path:
    return root / "artifacts" / "scaling" / study / "results.json"


def read(file: Path, study: str = "") -> Results:
    """The points of a results.json, or of a CSV with the columns loss and two of N, D and C (C = 6 N D).

    Raises:
        MiscopeError: the file is missing, is of another schema, or lacks a column or a number.
    """
    if not file.is_file():
        hint = f" Run `dvc repro run@{study}`." if study else ""
        raise MiscopeError(f"{file} does not exist.{hint}")
    return _from_csv(file) if file.suffix.lower() == ".csv" else _from_json(file)


def _from_json(file: Path) -> Results:
    content = file.read_bytes()
    try:
        found = json.loads(content)
        schema, runs = found["schema"], found["points"]
    except (ValueError, KeyError, TypeError):
        raise MiscopeError(f"{file} is no results file: it must be JSON with `schema` and `points`.") from None
    if schema != SCHEMA:
        raise MiscopeError(f"{file} has schema {schema!r}; this version reads {SCHEMA}. Run the study again.")
    missing = sorted({"id", "budget", "parameters", "tokens", "loss"} - set(runs[0] if runs else ()))
    if runs and missing:
        raise MiscopeError(f"{file}: the points lack {', '.join(missing)}.")
    values = {name: np.array([_number(run[name]) for run in runs]) for name in ("parameters", "tokens", "budget")}
    return _checked(file, Results(
        study=str(found.get("study", file.parent.name)), convention=str(found.get("convention", "")),
        entropy=found.get("entropy"), ids=tuple(str(run["id"]) for run in runs), **values,
        loss=np.array([_number(run["loss"]) for run in runs]), digest=keys.digest(content), runs=tuple(runs),
    ))  # fmt: skip


def _from_csv(file: Path) -> Results:
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = list(csv.DictReader(text))
    names = {name.strip().lower(): name for name in (rows[0] if rows else {})}
    at = {key: next((names[n] for n in known if n in names), None) for key, known in COLUMNS.items()}
    given = [key for key in ("parameters", "tokens", "budget") if at[key]]
    if not at["loss"] or len(given) < 2:
        raise MiscopeError(
            f"{file} has the columns {', '.join(names) or 'none'}; it needs `loss` and two of `N`, `D` and `C`."
        )
    values = {key: np.array([_number(row[at[key]]) for row in rows]) for key in given}
    k = FLOPS_PER_PARAMETER_TOKEN
    if "budget" not in values:
        values["budget"] = k * values["parameters"] * values["tokens"]
    if "tokens" not in values:
        values["tokens"] = values["budget"] / k / values["parameters"]
    if "parameters" not in values:
        values["parameters"] = values["budget"] / k / values["tokens"]
    ids = tuple(row[at["id"]] if at["id"] else f"row {i + 1}" for i, row in enumerate(rows))
    loss = np.array([_number(row[at["loss"]]) for row in rows])
    return _checked(file, Results(
        study=file.stem, convention="as in the file; not stated", entropy=None, ids=ids, **values, loss=loss,
        digest=keys.digest(file.read_bytes()), runs=tuple({} for _ in rows),
    ))  # fmt: skip


def _number(value: Any) -> float:
    """NaN for what is absent or no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _checked(file: Path, results: Results) -> Results:
    if not len(results):
        raise MiscopeError(f"{file} holds no run.")
    for name in ("parameters", "tokens", "budget"):
        values = getattr(results, name)
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(wrong):
            raise MiscopeError(
                f"{file}: `{name}` of {results.ids[wrong[0]]} is {values[wrong[0]]}; it must be a positive number."
            )
    if len(set(results.ids)) < len(results):
        twice = next(i for i in results.ids if results.ids.count(i) > 1)
        raise MiscopeError(f"{file}: the id `{twice}` stands twice.")
    return results
