"""A scaling study as params.yaml declares it: what is scaled, on what, for which budgets, and how it is fitted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from miscope.core import MiscopeError, Recipe, field_names
from miscope.scaling.documents import Settings
from miscope.scaling.fit import FitSettings
from miscope.scaling.plugins import Plugin, plugin
from miscope.workspace import Workspace, configuration


@dataclass(frozen=True)
class Grid:
    """Sizes around the one that is thought best: `per_budget` of them, the largest `span` times the smallest.

    Their middle is `around` at the budget `at`, and grows with the budget to the power `growth`.
    """

    per_budget: int
    around: float
    at: float
    growth: float = 0.5
    span: float = 16.0

    def targets(self, budget: float) -> list[float]:
        """Numbers of parameters, ascending, in equal ratios."""
        middle = self.around * (budget / self.at) ** self.growth
        powers = [i / max(1, self.per_budget - 1) - 0.5 for i in range(self.per_budget)]
        return [middle * self.span**power for power in powers]


Sizes = tuple[float, ...] | tuple[Settings, ...] | Grid


@dataclass(frozen=True)
class Rate:
    """The learning rate: `rate` where the model's setting `width` is `at`, and by `power` of the width elsewhere."""

    rate: float
    width: str = "d_model"
    at: float = 64.0
    power: float = -0.5

    def of(self, settings: Settings) -> float:
        if self.power == 0:
            return self.rate
        numbers = {key: value for key, value in settings.items() if isinstance(value, (int, float))}
        if self.width not in numbers:
            known = ", ".join(numbers)
            raise MiscopeError(f"`learning_rate.width` = {self.width!r} is no number of the model; it has: {known}.")
        return float(self.rate * (numbers[self.width] / self.at) ** self.power)


@dataclass(frozen=True)
class Study:
    """Budgets in FLOPs; `sizes` are numbers of parameters, settings of a model, or a Grid for each budget."""

    name: str
    model: Plugin
    dataset: Plugin
    loss: Plugin
    budgets: tuple[float, ...]
    sizes: Sizes
    learning_rate: Rate
    seeds: tuple[int, ...] = (0,)
    flops: Literal["6nd", "counted"] = "6nd"  # how a budget buys tokens: C = 6 N D, or by the count of every matmul
    batch_size: int = 16  # examples an update
    accumulate: int = 1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.1  # of the run's own updates; after them the rate falls along a cosine, to 0 at the last
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: int = 1  # of each run, so that the numbers do not depend on how many go side by side
    test_tokens: int = 65_536  # of the split `test`, at most
    max_epochs: float = 1.0  # how often the data may be seen
    resume_points: int = 4  # states kept while a run goes on
    keep_checkpoints: bool = False  # at 0, 1, 2, 4, 8, ... updates and at the end, for the instruments
    fit: FitSettings = field(default_factory=FitSettings)

    def recipe(self, steps: int, settings: Settings) -> Recipe:
        """How a model with these settings is trained for so many updates."""
        return Recipe(
            steps=steps, learning_rate=self.learning_rate.of(settings), weight_decay=self.weight_decay,
            betas=self.betas, schedule="cosine", warmup_steps=round(self.warmup * steps), batch_size=self.batch_size,
            accumulate=self.accumulate, precision=self.precision, device=self.device, resume_points=self.resume_points,
        )  # fmt: skip


RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, 1_000_000), "accumulate": (1, 10_000), "warmup": (0, 1), "weight_decay": (0, 100),
    "threads": (1, 1024), "test_tokens": (1, 10**12), "max_epochs": (0, 10**6), "resume_points": (0, 10_000),
}  # fmt: skip
NEEDED = ("model", "dataset", "budgets", "sizes", "learning_rate")


def load(root: Path, name: str) -> Study:
    """The study that params.yaml declares under `scaling`.

    Raises:
        MiscopeError: one line that names the key, the value and what is allowed.
    """
    declared = Workspace(root).config.scaling
    if name not in declared:
        raise MiscopeError(
            f"params.yaml declares no scaling study `{name}`; it declares: {', '.join(declared) or 'none'}."
        )
    return study(name, declared[name], root)


def fit_settings(root: Path, name: str) -> FitSettings:
    """How a study is fitted; by the defaults, if params.yaml does not declare it."""
    spec = Workspace(root).config.scaling.get(name, {}).get("fit") or {}
    return FitSettings(**_coerced(FitSettings, spec, f"scaling.{name}.fit"))


def study(name: str, spec: Mapping[str, Any], root: Path = Path()) -> Study:
    """The study of an entry under `scaling`."""
    where = f"scaling.{name}"
    configuration.only_known_keys(spec, tuple(f.name for f in fields(Study) if f.name != "name"), where)
    for key in NEEDED:
        if key not in spec:
            raise MiscopeError(f"params.yaml: `{where}` says no `{key}`; it needs {', '.join(NEEDED)}.")
    own: dict[str, Any] = {
        "model": plugin("model", spec["model"], f"{where}.model", root),
        "dataset": plugin("dataset", spec["dataset"], f"{where}.dataset", root),
        "loss": plugin("loss", spec.get("loss", "cross_entropy"), f"{where}.loss", root),
        "budgets": _positive(spec["budgets"], f"{where}.budgets"),
        "sizes": _sizes(spec["sizes"], f"{where}.sizes"),
        "learning_rate": _rate(spec["learning_rate"], f"{where}.learning_rate"),
        "fit": FitSettings(**_coerced(FitSettings, spec.get("fit", {}), f"{where}.fit")),
    }
    rest = configuration.coerced(Study, {key: value for key, value in spec.items() if key not in own}, where)
    for key, (low, high) in RANGES.items():
        if key in rest and not low <= rest[key] <= high:
            raise MiscopeError(f"params.yaml: `{where}.{key}` = {rest[key]!r}; allowed: {low:,} to {high:,}.")
    if not rest.get("seeds", (0,)):
        raise MiscopeError(f"params.yaml: `{where}.seeds` is empty; give at least one.")
    return Study(name, **own, **rest)


def _sizes(value: Any, where: str) -> Sizes:
    if isinstance(value, Mapping):
        grid = Grid(**_coerced(Grid, value, where, "per_budget", "around", "at"))
        if grid.per_budget < 1 or grid.around <= 0 or grid.at <= 0 or grid.span <= 1:
            raise MiscopeError(
                f"params.yaml: `{where}` = {dict(value)}; allowed: at least one size, numbers above 0, a span above 1."
            )
        return grid
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return tuple(dict(one) for one in value)
    return _positive(value, where)


def _rate(value: Any, where: str) -> Rate:
    if not isinstance(value, Mapping):
        return Rate(_positive([value], where)[0], power=0.0)
    return Rate(**_coerced(Rate, value, where, "rate"))


def _coerced(cls: type, spec: Any, where: str, *needed: str) -> dict[str, Any]:
    """The entries of a mapping as a dataclass takes them."""
    if not isinstance(spec, Mapping):
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must be a mapping.")
    configuration.only_known_keys(spec, field_names(cls), where)
    if missing := sorted(set(needed) - spec.keys()):
        raise MiscopeError(f"params.yaml: `{where}` says no {', '.join(f'`{key}`' for key in missing)}.")
    return configuration.coerced(cls, spec, where)


def _positive(value: Any, where: str) -> tuple[float, ...]:
    is_list = isinstance(value, list) and bool(value)
    if not is_list or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and v > 0 for v in value):
        raise MiscopeError(f"params.yaml: `{where}` = {value!r} must be a list of numbers above 0.")
    return tuple(float(v) for v in value)
