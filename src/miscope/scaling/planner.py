"""From budgets to points: which sizes, on how many tokens, and what has to be said before any of them runs.

A point's id is the hash of all that decides its result, so that adding a size or a budget renames none.

Source: the grid is approach 2 of Hoffmann et al. 2022, arXiv:2203.15556, section 3.2; C = 6 N D with N as Kaplan et al.
2020, arXiv:2001.08361, section 2.1 count it but with the unembedding, as Porian et al. 2024, arXiv:2406.19146, advise.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from miscope import keys
from miscope.core import MiscopeError
from miscope.scaling.check import Probed, Sized, loss_of, probed, sized
from miscope.scaling.planfile import SCHEMA
from miscope.scaling.plugins import located
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
    settings: Mapping[str, Any]
    found: Sized


def plan(study: Study) -> dict[str, Any]:
    """What `plan.json` says: points to train, and notes for a reader.

    Raises:
        MiscopeError: a plugin is not what it claims, the data are too few, or a budget buys less than one batch.
    """
    _, data = probed(study.dataset)
    sizes = _sizes(study, data)
    points = {
        point["id"]: point
        for budget in study.budgets
        for size in sizes[budget]
        for seed in study.seeds
        for point in [_point(study, budget, size, seed, data)]
    }
    asked = sum(map(len, sizes.values())) * len(study.seeds)
    return {
        "schema": SCHEMA,
        "study": study.name,
        "convention": CONVENTION if study.flops == "6nd" else COUNTED,
        "entropy": data.entropy,
        "data": {"digest": data.digest, "tokens": data.token_count, "max_epochs": study.max_epochs},
        "running": {
            "device": study.device,
            "threads": study.threads,
            "resume_points": study.resume_points,
            "keep_checkpoints": study.keep_checkpoints,
        },
        "points": list(points.values()),
        "notes": [*_notes_on_sizes(sizes), *_notes_on_points(list(points.values()), asked)],
    }


def _sizes(study: Study, data: Probed) -> dict[float, list[Size]]:
    """For each budget, the models to train with it."""
    loss = loss_of(study.loss)
    known: dict[str, Sized] = {}

    def size(target: float | None, settings: Mapping[str, Any]) -> Size:
        name = keys.canonical_json(settings)
        if name not in known:
            known[name] = sized(study.model.sized(settings), loss, study.loss, data)
            _check_core(study, known[name])
        return Size(target, settings, known[name])

    return {budget: [size(*one) for one in _asked(study, budget)] for budget in study.budgets}


def _check_core(study: Study, found: Sized) -> None:
    if study.keep_checkpoints and not found.is_core:
        raise MiscopeError(
            f"`scaling.{study.name}.keep_checkpoints` is for models whose weights the instruments can read: the "
            f"product's own transformer in the attribute `core`. `{study.model.target}` has none; leave it false."
        )


def _asked(study: Study, budget: float) -> list[tuple[float | None, Mapping[str, Any]]]:
    """Targets and the settings that meet them; settings that the study spells out have no target."""
    if isinstance(study.sizes, tuple) and isinstance(study.sizes[0], Mapping):
        return [(None, settings) for settings in study.sizes]
    targets = study.sizes.targets(budget) if isinstance(study.sizes, Grid) else list(study.sizes)
    return list(zip(targets, _size_configs(study, targets), strict=True))


def _size_configs(study: Study, targets: Sequence[float]) -> list[dict[str, Any]]:
    configs = getattr(located(study.model.target), "size_configs", None)
    if configs is None:
        raise MiscopeError(
            f"The model `{study.model.target}` has no `size_configs`, so `scaling.{study.name}.sizes` must be a list "
            "of settings, such as [{width: 32}, {width: 64}]."
        )
    parameters = inspect.signature(configs).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    settings = {key: value for key, value in study.model.settings.items() if takes_all or key in parameters}
    try:
        found = [dict(one) for one in configs(targets, **settings)]
    except (TypeError, ValueError, ArithmeticError) as error:
        raise MiscopeError(f"The model `{study.model.target}`: `size_configs` fails: {error}.") from None
    if len(found) != len(targets):
        raise MiscopeError(
            f"The model `{study.model.target}`: `size_configs` gives {len(found)} sizes for {len(targets)} targets."
        )
    return found


def _point(study: Study, budget: float, size: Size, seed: int, data: Probed) -> dict[str, Any]:
    per_token = 6.0 * size.found.parameters if study.flops == "6nd" else size.found.flops_per_token
    batch_tokens = study.batch_size * data.tokens_per_example
    steps = round(budget / per_token / batch_tokens)
    if steps < 1:
        raise MiscopeError(
            f"A budget of {budget:.3g} FLOPs buys {budget / per_token:,.0f} tokens for {size.found.parameters:,} "
            f"parameters, less than one batch of {batch_tokens:,}; lower scaling.{study.name}.batch_size or the size."
        )
    tokens = steps * batch_tokens
    epochs = tokens / data.token_count if data.token_count else None
    _check_epochs(study, tokens, epochs, data, size)
    model = study.model.sized(size.settings)
    recipe = study.recipe(steps, model.settings)
    config = {
        "model": model.config(),
        "dataset": study.dataset.config(),
        "loss": study.loss.config(),
        "recipe": {key: value for key, value in asdict(recipe).items() if key in DECIDING},
        "seed": seed,
        "budget": budget,
        "test_tokens": study.test_tokens,
    }
    return {
        "id": keys.digest(keys.canonical_json(config))[:12],
        "budget": budget,
        "target_parameters": size.target,
        "parameters": size.found.parameters,
        "parameters_total": size.found.parameters_total,
        "tokens": tokens,
        "steps": steps,
        "epochs": epochs,
        "learning_rate": recipe.learning_rate,
        "seed": seed,
        "flops_6nd": 6.0 * size.found.parameters * tokens,
        "flops_counted": size.found.flops_per_token * tokens,
        "config": config,
    }


def _check_epochs(study: Study, tokens: int, epochs: float | None, data: Probed, size: Size) -> None:
    if epochs is not None and epochs > study.max_epochs:
        raise MiscopeError(
            f"{tokens:,} tokens for {size.found.parameters:,} parameters are {epochs:.1f} times the data "
            f"({data.token_count:,} tokens); allowed: scaling.{study.name}.max_epochs = {study.max_epochs:g}. Raise it "
            "to repeat the data, or lower the budgets."
        )


def _notes_on_sizes(sizes: Mapping[float, Sequence[Size]]) -> list[str]:
    """Sizes that lie far from what was asked for."""
    off = {
        f"{size.target:,.0f} parameters were asked for; the nearest model has {size.found.parameters:,} "
        f"({size.found.parameters / size.target - 1:+.1%}): {_said(size.settings)}."
        for chosen in sizes.values()
        for size in chosen
        if size.target and abs(size.found.parameters / size.target - 1) > MOST_OFF
    }
    return sorted(off)


def _notes_on_points(points: Sequence[Mapping[str, Any]], asked: int) -> list[str]:
    """Repeated data, short runs, sizes that fell together."""
    notes = []
    if repeated := [p for p in points if p["epochs"] and p["epochs"] > 1]:
        most = max(p["epochs"] for p in repeated)
        notes.append(
            f"{len(repeated)} of {len(points)} points see data more than once, up to {most:.1f} times; the law for "
            "fresh data does not hold there (Muennighoff et al. 2023, arXiv:2305.16264)."
        )
    if short := [p for p in points if p["steps"] < FEW_UPDATES]:
        fewest = min(p["steps"] for p in short)
        notes.append(f"{len(short)} of {len(points)} points make fewer than {FEW_UPDATES} updates, down to {fewest}.")
    if len(points) < asked:
        notes.append(f"{asked - len(points)} sizes fell together with another; {len(points)} points are left.")
    return notes


def _said(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
