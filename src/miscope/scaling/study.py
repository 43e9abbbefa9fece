"""A scaling study as params.yaml declares it, and its plan: which sizes, on how many tokens, in how many hours.

A point's id is the hash of all that decides its result, so that adding a size or a budget renames none.

Source: the grid is approach 2 of Hoffmann et al. 2022, arXiv:2203.15556, section 3.2; C = 6 N D with N as Kaplan et al.
2020, arXiv:2001.08361, section 2.1 count it but with the unembedding, as Porian et al. 2024, arXiv:2406.19146, advise.
"""

import inspect
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from miscope import keys
from miscope.core import MiscopeError, field_names
from miscope.scaling.documents import Config, Data, Plan, Point, Running, Settings, plain
from miscope.scaling.fit import FitSettings
from miscope.scaling.plugins import Plugin, Probed, Sized, plugin, probed, sized
from miscope.scaling.point import trainer_of
from miscope.scaling.sweep import cost, default_jobs
from miscope.workspace import Workspace, configuration

CONVENTION = (
    "N counts every parameter but those of token and position embeddings; the unembedding counts. "
    "A budget of C FLOPs buys D = C / (6 N) tokens."
)
COUNTED = CONVENTION.replace("C / (6 N) tokens", "C / (FLOPs of every matmul on one token, forward and back) tokens")
MOST_OFF = 0.05  # of a size that was asked for, before it is said
FEW_UPDATES = 20
WARM, TIMED = 2, 4  # updates
MOST_FLOPS = 1e12  # of an update that is timed; larger ones are taken to run at the best speed that was seen
NEEDED = ("model", "dataset", "budgets", "sizes", "learning_rate")
RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, 1_000_000), "accumulate": (1, 10_000), "warmup": (0, 1), "weight_decay": (0, 100),
    "threads": (1, 1024), "test_tokens": (1, 10**12), "max_epochs": (0, 10**6), "resume_points": (0, 10_000),
}  # fmt: skip


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
    sizes: tuple[float, ...] | tuple[Settings, ...] | Grid
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

    def recipe(self, steps: int, settings: Settings) -> Settings:
        """How a model with these settings is trained for so many updates: what decides the weights of a Recipe."""
        return {
            "steps": steps, "learning_rate": self.learning_rate.of(settings), "weight_decay": self.weight_decay,
            "betas": self.betas, "schedule": "cosine", "warmup_steps": round(self.warmup * steps),
            "batch_size": self.batch_size, "accumulate": self.accumulate, "precision": self.precision,
        }  # fmt: skip


def load(root: Path, name: str) -> Study:
    """The study that params.yaml declares under `scaling`.

    Raises:
        MiscopeError: one line that names the key, the value and what is allowed.
    """
    declared = Workspace(root).config.scaling
    if name not in declared:
        known = ", ".join(declared) or "none"
        raise MiscopeError(f"params.yaml declares no scaling study `{name}`; it declares: {known}.")
    return study(name, declared[name], root)


def fit_settings(root: Path, name: str) -> FitSettings:
    """How a study is fitted; by the defaults, if params.yaml does not declare it."""
    spec = Workspace(root).config.scaling.get(name, {}).get("fit") or {}
    return FitSettings(**_coerced(FitSettings, spec, f"scaling.{name}.fit"))


def study(name: str, spec: Mapping[str, Any], root: Path = Path()) -> Study:
    """The study of an entry under `scaling`."""
    where = f"scaling.{name}"
    configuration.only_known_keys(spec, tuple(key for key in field_names(Study) if key != "name"), where)
    for key in NEEDED:
        if key not in spec:
            raise MiscopeError(f"params.yaml: `{where}` has no `{key}`; it needs {', '.join(NEEDED)}.")
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


def _sizes(value: Any, where: str) -> tuple[float, ...] | tuple[Settings, ...] | Grid:
    if isinstance(value, Mapping):
        grid = Grid(**_coerced(Grid, value, where, "per_budget", "around", "at"))
        if grid.per_budget < 1 or grid.around <= 0 or grid.at <= 0 or grid.span <= 1:
            allowed = "at least one size, numbers above 0, a span above 1"
            raise MiscopeError(f"params.yaml: `{where}` = {dict(value)}; allowed: {allowed}.")
        return grid
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return tuple(dict(one) for one in value)
    return _positive(value, where)


def _rate(value: Any, where: str) -> Rate:
    if isinstance(value, Mapping):
        return Rate(**_coerced(Rate, value, where, "rate"))
    return Rate(_positive([value], where)[0], power=0.0)


def _coerced(cls: type, spec: Any, where: str, *needed: str) -> dict[str, Any]:
    """The entries of a mapping as a dataclass takes them."""
    if not isinstance(spec, Mapping):
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must be a mapping.")
    configuration.only_known_keys(spec, field_names(cls), where)
    if missing := sorted(set(needed) - spec.keys()):
        raise MiscopeError(f"params.yaml: `{where}` has no {', '.join(f'`{key}`' for key in missing)}.")
    return configuration.coerced(cls, spec, where)


def _positive(value: Any, where: str) -> tuple[float, ...]:
    is_list = isinstance(value, list) and bool(value)
    if not is_list or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and v > 0 for v in value):
        raise MiscopeError(f"params.yaml: `{where}` = {value!r} must be a list of numbers above 0.")
    return tuple(float(v) for v in value)


# ---------------------------------------------------------------- its plan


Size = tuple[float | None, Settings, Sized]  # parameters asked for, None where settings were; the settings; the model


def plan(study: Study) -> Plan:
    """The points to train, and notes for a reader.

    Raises:
        MiscopeError: a plugin is not what it claims, the data are too few, or a budget buys less than one batch.
    """
    data = probed(study.dataset)
    sizes = _models(study, data)
    asked = [(budget, size, seed) for budget in study.budgets for size in sizes[budget] for seed in study.seeds]
    points = tuple({point.id: point for one in asked for point in [_point(study, data, *one)]}.values())
    return Plan(
        study=study.name, convention=CONVENTION if study.flops == "6nd" else COUNTED, entropy=data.entropy,
        data=Data(data.digest, data.token_count, study.max_epochs),
        running=Running(study.device, study.threads, study.resume_points, study.keep_checkpoints), points=points,
        notes=(*_notes_on_sizes(sizes), *_notes_on_points(points, len(asked))),
    )  # fmt: skip


def _models(study: Study, data: Probed) -> dict[float, list[Size]]:
    """For each budget, the models to train with it; each model is looked at once."""
    asked = {budget: list(_asked(study, budget)) for budget in study.budgets}
    different = {keys.canonical_json(settings): settings for sizes in asked.values() for _, settings in sizes}
    models = {name: sized(study.model.sized(settings), study.loss, data) for name, settings in different.items()}
    if study.keep_checkpoints and not all(model.is_core for model in models.values()):
        raise MiscopeError(
            f"`scaling.{study.name}.keep_checkpoints` is for models whose weights the instruments can read: the "
            f"product's own transformer in the attribute `core`. `{study.model.target}` has none; leave it false."
        )
    return {
        budget: [(*size, models[keys.canonical_json(size[1])]) for size in sizes] for budget, sizes in asked.items()
    }


def _asked(study: Study, budget: float) -> Iterator[tuple[float | None, Settings]]:
    """Targets and the settings that meet them; settings that the study spells out have no target."""
    sizes = study.sizes.targets(budget) if isinstance(study.sizes, Grid) else study.sizes
    targets = [size for size in sizes if isinstance(size, float)]
    yield from ((None, size) for size in sizes if not isinstance(size, float))
    yield from zip(targets, _size_configs(study, targets) if targets else (), strict=True)


def _size_configs(study: Study, targets: Sequence[float]) -> list[Settings]:
    """The settings that the model gives for numbers of parameters."""
    configs = getattr(study.model.located, "size_configs", None)
    if configs is None:
        raise MiscopeError(
            f"The model `{study.model.target}` has no `size_configs`, so `scaling.{study.name}.sizes` must be a list "
            "of settings, such as [{width: 32}, {width: 64}]."
        )
    parameters = inspect.signature(configs).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    settings = {key: value for key, value in study.model.settings.items() if takes_all or key in parameters}
    try:
        sizes: list[Settings] = [dict(one) for one in configs(targets, **settings)]
    except (TypeError, ValueError, ArithmeticError) as error:
        raise study.model.fault(f"`size_configs` fails: {error}") from None
    if len(sizes) != len(targets):
        raise study.model.fault(f"`size_configs` gives {len(sizes)} sizes for {len(targets)} targets")
    return sizes


def _point(study: Study, data: Probed, budget: float, size: Size, seed: int) -> Point:
    target, settings, seen = size
    n = seen.parameters
    per_token = 6.0 * n if study.flops == "6nd" else seen.flops_per_token
    batch_tokens = study.batch_size * data.tokens_per_example
    steps = round(budget / per_token / batch_tokens)
    if steps < 1:
        raise MiscopeError(
            f"A budget of {budget:.3g} FLOPs buys {budget / per_token:,.0f} tokens for {n:,} parameters, less than "
            f"one batch of {batch_tokens:,}; lower scaling.{study.name}.batch_size or the size."
        )
    tokens = steps * batch_tokens
    epochs = tokens / data.token_count if data.token_count else None
    if epochs is not None and epochs > study.max_epochs:
        raise MiscopeError(
            f"{tokens:,} tokens for {n:,} parameters are {epochs:.1f} times the data ({data.token_count:,} tokens); "
            f"allowed: scaling.{study.name}.max_epochs = {study.max_epochs:g}. Raise it to repeat the data, or lower "
            "the budgets."
        )
    model = study.model.sized(settings)
    recipe = study.recipe(steps, model.settings)
    plugins = model.config, study.dataset.config, study.loss.config
    config = Config(*plugins, recipe, seed, budget, study.test_tokens)
    return Point(
        id=keys.digest(keys.canonical_json(plain(config)))[:12], budget=budget, target_parameters=target,
        parameters=n, parameters_total=seen.parameters_total, tokens=tokens, steps=steps, epochs=epochs,
        learning_rate=recipe["learning_rate"], seed=seed, flops_6nd=6.0 * n * tokens,
        flops_counted=seen.flops_per_token * tokens, config=config,
    )  # fmt: skip


def _notes_on_sizes(sizes: Mapping[float, Sequence[Size]]) -> list[str]:
    """Sizes that lie far from what was asked for."""
    off = set()
    for target, settings, model in itertools.chain(*sizes.values()):
        n = model.parameters
        if target and abs(n / target - 1) > MOST_OFF:
            nearest = ", ".join(f"{key} {value}" for key, value in settings.items())
            text = f"parameters were asked for; the nearest model has {n:,} ({n / target - 1:+.1%}): {nearest}."
            off.add(f"{target:,.0f} {text}")
    return sorted(off)


def _notes_on_points(points: Sequence[Point], asked: int) -> Iterator[str]:
    """Repeated data, short runs, points that coincide."""
    if repeated := [point.epochs for point in points if point.epochs and point.epochs > 1]:
        yield (
            f"{len(repeated)} of {len(points)} points see data more than once, up to {max(repeated):.1f} times; the "
            "law for fresh data does not hold there (Muennighoff et al. 2023, arXiv:2305.16264)."
        )
    if short := [point.steps for point in points if point.steps < FEW_UPDATES]:
        yield f"{len(short)} of {len(points)} points make fewer than {FEW_UPDATES} updates, down to {min(short)}."
    if len(points) < asked:
        yield f"{asked - len(points)} points coincide with others; {len(points)} are left."


# ---------------------------------------------------------------- what it costs


def lines_of(plan: Plan) -> Iterator[str]:
    """A line for each point, the notes, the hours that all take here."""
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
    each = f", {total / jobs / 3600:.2f} h with {jobs} jobs in parallel" if jobs > 1 else ""
    yield f"Expected time on this machine: {total / 3600:.2f} h{each}."


def expected_seconds(plan: Plan) -> dict[str, float]:
    """By id of a point, by timing a few updates of every size; the evaluation at its end is not counted."""
    speeds: dict[str, float] = {}  # FLOPs a second, by a model's settings
    before = torch.get_num_threads()
    torch.set_num_threads(plan.running.threads)
    for point in sorted(plan.points, key=lambda point: point.parameters):
        model = str(point.config.model)
        if model not in speeds and point.flops_counted / point.steps <= MOST_FLOPS:
            trainer = trainer_of(plan, point)
            for _ in range(WARM):
                trainer.advance().item()
            began = time.perf_counter()
            for _ in range(TIMED):
                trainer.advance().item()
            speeds[model] = cost(point) / point.steps * TIMED / (time.perf_counter() - began)
    torch.set_num_threads(before)
    best = max(speeds.values(), default=1e9)
    return {p.id: cost(p) / speeds.get(str(p.config.model), best) for p in plan.points}
