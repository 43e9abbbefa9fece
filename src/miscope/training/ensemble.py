"""Many variants of one shape in training side by side: their weights are stacked, and each matmul serves them all.

A step of a small model leaves a GPU idle, waiting for the next kernel; stacked, dozens of seeds cost little more than
one. Members may differ in seed, data seed, learning rate and weight decay. Each has its own files, states and curve, as
if it had trained alone; its numbers are those of a lone run but for the order of float32 sums.

Source: the stacking is that of `torch.func.vmap` over `functional_call` (model ensembling in torch's tutorials).
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from miscope.core import Family, MiscopeError, Recipe, Variant
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.batches import Batch, Batches
from miscope.training.device import Device
from miscope.training.optimization import cross_entropy, optimizer_for
from miscope.training.trainer import (
    Model,
    State,
    Stretch,
    Trainer,
    evaluation,
    moments_as_tensors,
    moments_of,
    named_weights,
)
from miscope.workspace import store


def stacked(variants: Sequence[Variant], device: Device) -> Trainer:
    """A Trainer of all the variants, at step 0.

    Raises:
        MiscopeError: a member differs from the first in what all must share.
    """
    check_alike(variants)
    stack = _Stack(variants, device)
    groups = _groups(variants, stack.own)
    batches = [Batches(v.family, v.data_seed, v.recipe, v.model, device) for v in variants]
    models = [_model(i, v, stack, batches[i], groups) for i, v in enumerate(variants)]
    stretch = Stretch(0, tuple(group.recipe for group in groups), _losses(stack, batches))
    optimizers = [group.optimizer for group in groups]
    return Trainer(models, stack, optimizers, [stretch], device, hand_on=stack.hand_on)


class _Stack(nn.Module):
    """Parameters [member, ...] of all members; a member's own are views into them."""

    def __init__(self, variants: Sequence[Variant], device: Device) -> None:
        super().__init__()
        networks = [Transformer(v.model, v.seed).to(device.torch) for v in variants]
        names = [name for name, _ in networks[0].named_parameters()]
        whole = [torch.stack([network.get_parameter(name).detach() for network in networks]) for name in names]
        self.whole = nn.ParameterList(whole)
        self.own = [[nn.Parameter(value.data[i]) for value in self.whole] for i in range(len(networks))]
        for network, own in zip(networks, self.own, strict=True):
            for name, parameter in zip(names, own, strict=True):
                _put(network, name, parameter)
        self.networks, self.device = tuple(networks), device  # a tuple: their parameters are not this module's
        self._names, self._unchecked = names, (_Unchecked(networks[0]),)

    def forward(self, tokens: Tensor, query_positions: Tensor) -> Tensor:
        """[member batch query vocab]"""
        one = functools.partial(functional_call, self._unchecked[0])
        whole = {f"model.{name}": value for name, value in zip(self._names, self.whole, strict=True)}
        return vmap(lambda weights, x: one(weights, (x, query_positions)))(whole, tokens)

    def hand_on(self) -> None:
        """Give each member's part of the gradients to its own parameters."""
        for i, own in enumerate(self.own):
            for parameter, value in zip(own, self.whole, strict=True):
                parameter.grad = None if value.grad is None else value.grad[i]


class _Unchecked(nn.Module):
    """The model with a hook that looks at nothing: it then changes nothing in place, which vmap does not allow."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, query_positions: Tensor) -> Tensor:
        return self.model.logits_at(tokens, query_positions, lambda name, x: x)


def _put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, parameter)


def _losses(stack: _Stack, batches: Sequence[Batches]) -> Callable[[int], Iterator[Tensor]]:
    whole = None if batches[0].recipe.batch_size else [b.at(0)[0][0] for b in batches]

    def losses(step: int) -> Iterator[Tensor]:
        yield _loss(stack, whole or [b.at(step)[0][0] for b in batches])

    return losses


def _loss(stack: _Stack, batches: Sequence[Batch]) -> Tensor:
    """The sum over members of each one's mean loss: no member's gradient meets another's."""
    with stack.device.autocast():
        logits = stack(torch.stack([batch.tokens for batch in batches]), batches[0].query_positions)
    answers = torch.cat([batch.of_asked(logits[i].flatten(0, 1)) for i, batch in enumerate(batches)])
    targets = torch.cat([batch.targets for batch in batches])
    shares = [torch.full_like(batch.targets, 1.0, dtype=torch.float32) / len(batch.targets) for batch in batches]
    return cross_entropy(answers, targets, scale=torch.cat(shares)[:, None])


# ---------------------------------------------------------------- optimizers, and the state of one member


@dataclass(frozen=True)
class _Group:
    """Members of one recipe share an optimizer: it moves all their parameters in a few kernels."""

    recipe: Recipe
    members: tuple[int, ...]
    optimizer: torch.optim.Optimizer


def _groups(variants: Sequence[Variant], own: Sequence[list[nn.Parameter]]) -> list[_Group]:
    recipes = [v.recipe for v in variants]
    firsts = [i for i, recipe in enumerate(recipes) if recipe not in recipes[:i]]
    members = [tuple(i for i, recipe in enumerate(recipes) if recipe == recipes[first]) for first in firsts]
    return [_Group(recipes[m[0]], m, optimizer_for([p for i in m for p in own[i]], recipes[m[0]])) for m in members]


def _model(i: int, variant: Variant, stack: _Stack, batches: Batches, groups: Sequence[_Group]) -> Model:
    """One member, seen as a run of its own."""
    network, own = stack.networks[i], stack.own[i]
    group = next(group for group in groups if i in group.members)
    first = group.members.index(i) * len(own)  # the place of its first parameter in the optimizer

    def state() -> State:
        moments = group.optimizer.state_dict()["state"]
        mine = {j: moments[first + j] for j in range(len(own)) if first + j in moments}
        return named_weights(network) | moments_as_tensors(mine)

    @torch.no_grad()
    def restore(state: Mapping[str, Tensor]) -> None:
        for name, parameter in zip(dict(network.named_parameters()), own, strict=True):
            parameter.copy_(state[f"model.{name}"])
        everyones = group.optimizer.state_dict()
        everyones["state"] |= {first + j: values for j, values in moments_of(state).items()}
        group.optimizer.load_state_dict(everyones)

    return Model(
        evaluate=lambda step: evaluation(step, batches, network, variant),
        save=lambda path, step, key: store.save_checkpoint(path, step, variant.model, weights(network), key),
        state=state,
        restore=restore,
    )


# ---------------------------------------------------------------- what members must share


def check_alike(variants: Sequence[Variant]) -> None:
    """
    Raises:
        MiscopeError: a member differs from the first in what all must share.
    """
    first, where = variants[0], f"Ensemble `{variants[0].recipe.ensemble}`:"
    for other in variants[1:]:
        for what, is_alike in _likeness(first, other).items():
            if not is_alike:
                raise MiscopeError(
                    f"{where} `{other.name}` differs from `{first.name}` in its {what}; members may differ in seed, "
                    "data_seed, learning_rate and weight_decay."
                )
    if any(v.branch or v.adaptive for v in variants) or first.recipe.accumulate > 1:
        raise MiscopeError(f"{where} its members may have no branch, no adaptive checkpoints and no `accumulate`.")
    if type(first.family).loss is not Family.loss:
        raise MiscopeError(f"{where} the family `{first.family_name}` has a loss of its own, and no ensemble.")


def _likeness(first: Variant, other: Variant) -> dict[str, bool]:
    sizes = [len(v.family.split(v.data_seed).train) for v in (first, other)]
    kept = [replace(v.recipe, learning_rate=0.0, weight_decay=0.0) for v in (first, other)]
    return {
        "family": first.family_name == other.family_name,
        "model": first.model == other.model,
        "number of examples": sizes[0] == sizes[1],
        "recipe": kept[0] == kept[1],
    }
