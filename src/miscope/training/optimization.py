"""Optimizers by name, and the learning rate as a pure function of the step."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from miscope.core import MiscopeError, Recipe

FUSED = ("adamw", "adam", "sgd")  # known by name; each a few kernels that find steps, moments and rate on the device


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

    named = recipe.optimizer if isinstance(recipe.optimizer, Mapping) else {"_target_": recipe.optimizer}
    spec = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, **named, "_partial_": True}
    try:
        made = instantiate(spec)(parameters)
    except Exception as error:  # hydra wraps what the target raises
        raise _refused(recipe, f": {' '.join(str(error).split())[:200]}") from None
    if not isinstance(made, torch.optim.Optimizer):
        raise _refused(recipe, " is no torch optimizer")
    return made


def _refused(recipe: Recipe, why: str) -> MiscopeError:
    return MiscopeError(
        f"`optimizer` = {recipe.optimizer!r}{why}; allowed: adamw, adam, sgd, the dotted path of a torch optimizer "
        "that takes lr and weight_decay, or {_target_: that path, and its own settings}."
    )


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of the update that leads from `step` to `step + 1`."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / (recipe.warmup_steps + 1))
    if recipe.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return rate


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters: in place where it lies on a device, for a graph that reads it there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
