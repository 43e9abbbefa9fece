"""Optimizers by name, and the learning rate as a pure function of the step."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from miscope.core import MiscopeError, Recipe


def optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer that the recipe names, with its settings.

    Raises:
        MiscopeError: there is no such optimizer, or it does not take these settings.
    """
    lr, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, betas=recipe.betas, fused=True)
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, weight_decay=decay, betas=recipe.betas, fused=True)
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, weight_decay=decay, momentum=recipe.betas[0], fused=True)
    return _by_path(parameters, recipe)


def _by_path(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    from hydra.utils import instantiate

    spec: dict[str, Any] = {
        "_target_": recipe.optimizer,
        "lr": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
    }
    try:
        made = instantiate(spec | {"_partial_": True})(parameters)
    except Exception as error:  # hydra wraps what the target raises
        raise MiscopeError(
            f"`optimizer` = {recipe.optimizer!r}: {' '.join(str(error).split())[:200]}; "
            "allowed: adamw, adam, sgd, or the dotted path of a torch optimizer that takes lr and weight_decay."
        ) from None
    if not isinstance(made, torch.optim.Optimizer):
        raise MiscopeError(
            f"`optimizer` = {recipe.optimizer!r} is no torch optimizer; allowed: adamw, adam, sgd, or one's path."
        )
    return made


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of the update that leads from `step` to `step + 1`."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / (recipe.warmup_steps + 1))
    if recipe.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return rate
