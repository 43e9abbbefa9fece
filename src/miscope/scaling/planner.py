"""From budgets to points: which sizes, on how many tokens, and what has to be said before any of them runs.

A point's id is the hash of all that decides its result, so that adding a size or a budget renames none.

Source: the grid is approach 2 of Hoffmann et al. 2022, arXiv:2203.15556, section 3.2; C = 6 N D with N as Kaplan et al.
2020, arXiv:2001.08361, section 2.1 count it but with the unembedding, as Porian et al. 2024, arXiv:2406.19146, advise.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from miscope import keys
from miscope.core import MiscopeError
from miscope.scaling.documents import Config, Data, Plan, Point, Running, Settings, plain
from miscope.scaling.plugins import Probed, Sized, probed, sized
from miscope.scaling.study import Grid, Study

CONVENTION = (
    "N counts every parameter but those of token and position embeddings; the unembedding counts. "
    "A budget of C FLOPs buys D = C / (6 N) tokens."
)
COUNTED = CONVENTION.replace("C / (6 N) tokens", "C / (FLOPs of every matmul on one token, forward and back) tokens")
MOST_OFF = 0.05  # of a size that was asked for, before it is said
FEW_UPDATES = 20
# of a recipe, what decides the weights; where and how they are computed does not name a point
DECIDING = (
    "steps", "learning_rate", "weight_decay", "betas", "schedule", "warmup_steps", "batch_size", "accumulate",
    "precision",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """A model of the plan: what was asked for (None where its settings were), its settings, what it came to."""

    target: float | None
    settings: Settings
    model: Sized


def plan(study: Study) -> Plan:
    """The points to train, and notes for a reader.

    Raises:
        MiscopeError: a plugin is not what it claims, the data are too few, or a budget buys less than one batch.
    """
    data = probed(study.dataset)
    sizes = _sizes(study, data)
    asked = [(budget, size, seed) for budget in study.budgets for size in sizes[budget] for seed in study.seeds]
    points = tuple({point.id: point for one in asked for point in [_point(study, data, *one)]}.values())
    made_for = Data(data.digest, data.token_count, study.max_epochs)
    running = Running(study.device, study.threads, study.resume_points, study.keep_checkpoints)
    notes = (*_notes_on_sizes(sizes), *_notes_on_points(points, len(asked)))
    convention = CONVENTION if study.flops == "6nd" else COUNTED
    return Plan(study.name, convention, data.entropy, made_for, running, points, notes)


def _sizes(study: Study, data: Probed) -> dict[float, list[Size]]:
    """For each budget, the models to train with it."""
    known: dict[str, Sized] = {}

    def size(target: float | None, settings: Settings) -> Size:
        name = keys.canonical_json(settings)
        if name not in known:
            known[name] = sized(study.model.sized(settings), study.loss, data)
            if study.keep_checkpoints and not known[name].is_core:
                raise MiscopeError(
                    f"`scaling.{study.name}.keep_checkpoints` is for models whose weights the instruments can read: "
                    f"the product's own transformer in the attribute `core`. `{study.model.target}` has none; leave it "
                    "false."
                )
        return Size(target, settings, known[name])

    return {budget: [size(*one) for one in _asked(study, budget)] for budget in study.budgets}


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
    n = size.model.parameters
    per_token = 6.0 * n if study.flops == "6nd" else size.model.flops_per_token
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
    model = study.model.sized(size.settings)
    recipe = study.recipe(steps, model.settings)
    deciding = {key: value for key, value in asdict(recipe).items() if key in DECIDING}
    plugins = model.config, study.dataset.config, study.loss.config
    config = Config(*plugins, recipe=deciding, seed=seed, budget=budget, test_tokens=study.test_tokens)
    return Point(
        id=keys.digest(keys.canonical_json(plain(config)))[:12], budget=budget, target_parameters=size.target,
        parameters=n, parameters_total=size.model.parameters_total, tokens=tokens, steps=steps, epochs=epochs,
        learning_rate=recipe.learning_rate, seed=seed, flops_6nd=6.0 * n * tokens,
        flops_counted=size.model.flops_per_token * tokens, config=config,
    )  # fmt: skip


def _notes_on_sizes(sizes: Mapping[float, Sequence[Size]]) -> list[str]:
    """Sizes that lie far from what was asked for."""
    off = {
        f"{size.target:,.0f} parameters were asked for; the nearest model has {n:,} ({n / size.target - 1:+.1%}): "
        f"{', '.join(f'{key} {value}' for key, value in size.settings.items())}."
        for chosen in sizes.values()
        for size in chosen
        for n in [size.model.parameters]
        if size.target and abs(n / size.target - 1) > MOST_OFF
    }
    return sorted(off)


def _notes_on_points(points: Sequence[Point], asked: int) -> Iterator[str]:
    """Repeated data, short runs, sizes that fell together."""
    if repeated := [point.epochs for point in points if point.epochs and point.epochs > 1]:
        yield (
            f"{len(repeated)} of {len(points)} points see data more than once, up to {max(repeated):.1f} times; the "
            "law for fresh data does not hold there (Muennighoff et al. 2023, arXiv:2305.16264)."
        )
    if short := [point.steps for point in points if point.steps < FEW_UPDATES]:
        yield f"{len(short)} of {len(points)} points make fewer than {FEW_UPDATES} updates, down to {min(short)}."
    if len(points) < asked:
        yield f"{asked - len(points)} sizes fell together with another; {len(points)} points are left."
