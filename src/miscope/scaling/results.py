"""The measured points of a study as arrays: from `results.json`, which the runs write, or from anyone's CSV."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from miscope import keys
from miscope.core import MiscopeError
from miscope.scaling import documents
from miscope.scaling.documents import Record, Records

FLOPS_PER_PARAMETER_TOKEN = 6.0
COLUMNS = {
    "parameters": ("n", "parameters", "params", "model size", "model_size"),
    "tokens": ("d", "tokens", "training tokens"),
    "budget": ("c", "budget", "flops", "flop", "training flop", "compute"),
    "loss": ("l", "loss"),
    "id": ("id", "run", "name"),
}


def _column(name: str) -> cached_property[Float[np.ndarray, " run"]]:
    return cached_property(lambda results: np.array([getattr(run, name) for run in results.runs], dtype=np.float64))


@dataclass(frozen=True)
class Results:
    """Runs to fit. `loss` is held-out, in nats, NaN where none was measured; `budget` in FLOPs."""

    study: str
    convention: str  # how N is counted, in words
    entropy: float | None  # the known floor of the loss in nats
    runs: tuple[Record, ...]
    digest: str  # of the file

    parameters = _column("parameters")
    tokens = _column("tokens")
    budget = _column("budget")
    loss = _column("loss")

    def __len__(self) -> int:
        return len(self.runs)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(run.id for run in self.runs)

    def columns(self, mask: Bool[np.ndarray, " run"]) -> tuple[Float[np.ndarray, " chosen"], ...]:
        """Budget, parameters, tokens and loss of the chosen runs."""
        return self.budget[mask], self.parameters[mask], self.tokens[mask], self.loss[mask]

    @property
    def flops_per_parameter_token(self) -> float:
        """k of C = k N D: 6 where the runs agree with that within 2 %, else their median."""
        k = float(np.median(self.budget / (self.parameters * self.tokens)))
        return FLOPS_PER_PARAMETER_TOKEN if abs(k / FLOPS_PER_PARAMETER_TOKEN - 1) < 0.02 else k


def of_study(root: Path, study: str) -> Results:
    """What the stage `run` wrote."""
    return read(documents.path(root, study, "results.json"), f"dvc repro run@{study}")


def read(file: Path, command: str = "") -> Results:
    """The points of a results.json, or of a CSV with the columns loss and two of N, D and C (C = 6 N D).

    Raises:
        MiscopeError: the file is missing, is of another schema, or lacks a column or a number.
    """
    if file.suffix.lower() == ".csv" and file.is_file():
        records = Records(_of_csv(file), file.stem, "as in the file; not stated")
    else:
        records = documents.read(file, Records, command)
    study, digest = records.study or file.parent.name, keys.digest(file.read_bytes())
    results = Results(study, records.convention, records.entropy, records.points, digest)
    if not len(results):
        raise MiscopeError(f"{file} holds no run.")
    for name in ("parameters", "tokens", "budget"):
        values = getattr(results, name)
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(wrong):
            first = wrong[0]
            raise MiscopeError(
                f"{file}: `{name}` of {results.ids[first]} is {values[first]}; it must be a positive number."
            )
    if len(set(results.ids)) < len(results):
        twice = next(i for i in results.ids if results.ids.count(i) > 1)
        raise MiscopeError(f"{file}: the id `{twice}` occurs twice.")
    return results


def _of_csv(file: Path) -> tuple[Record, ...]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = list(csv.DictReader(text))
    names = {name.strip().lower(): name for name in (rows[0] if rows else {})}
    at = {key: next((names[n] for n in known if n in names), "") for key, known in COLUMNS.items()}
    given = [key for key in ("parameters", "tokens", "budget") if at[key]]
    if not at["loss"] or len(given) < 2:
        raise MiscopeError(
            f"{file} has the columns {', '.join(names) or 'none'}; it needs `loss` and two of `N`, `D` and `C`."
        )
    values = {key: np.array([_number(row[at[key]]) for row in rows]) for key in (*given, "loss")}
    k = FLOPS_PER_PARAMETER_TOKEN
    if "budget" not in values:
        values["budget"] = k * values["parameters"] * values["tokens"]
    for missing, other in (("tokens", "parameters"), ("parameters", "tokens")):
        if missing not in values:
            values[missing] = values["budget"] / k / values[other]
    ids = (row[at["id"]] if at["id"] else f"row {i + 1}" for i, row in enumerate(rows))
    numbers = (values[key].tolist() for key in ("budget", "parameters", "tokens", "loss"))
    return tuple(Record(*run) for run in zip(ids, *numbers, strict=True))


def _number(text: str) -> float:
    """NaN for what is absent or no number."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")
