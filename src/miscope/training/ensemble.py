"""Many variants of one shape in training side by side: their weights are stacked, and each matmul serves them all.

A step of a small model leaves a GPU idle, waiting for the next kernel; stacked, dozens of seeds cost little more than
one. Members may differ in seed, data seed, learning rate and weight decay. Each has its own files, states and curve, as
if it had trained alone; its numbers are those of a lone run but for the order of float32 sums.

Source: the stacking is that of `torch.func.vmap` over `functional_call` (model ensembling in torch's tutorials).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from miscope.core import Family, MiscopeError, Variant
from miscope.model.transformer import Transformer
from miscope.training.batches import Batch, Batches
from miscope.training.device import Device
from miscope.training.optimization import cross_entropy, optimizer_for
from miscope.training.trainer import Stretch, Trainer, evaluation, model_of


def stacked(variants: Sequence[Variant], device: Device) -> Trainer:
    """A Trainer of all the variants, at step 0; one that differs in what all must share is refused."""
    _check_alike(variants)
    stack, recipes = _Stack(variants, device), [v.recipe for v in variants]
    distinct = [recipe for i, recipe in enumerate(recipes) if recipe not in recipes[:i]]
    # members of one recipe share an optimizer, which moves all their parameters in a few kernels
    optimizers = [
        optimizer_for([p for own, r in zip(stack.own, recipes, strict=True) if r == recipe for p in own], recipe)
        for recipe in distinct
    ]
    batches = [Batches(v.family, v.data_seed, v.recipe, v.model, device) for v in variants]
    models = []
    for variant, network, own in zip(variants, stack.networks, batches, strict=True):
        evaluate = partial(evaluation, batches=own, network=network, variant=variant)
        models.append(model_of(variant, network, optimizers[distinct.index(variant.recipe)], evaluate))
    whole = None if recipes[0].batch_size else [b.at(0)[0][0] for b in batches]
    stretch = Stretch(0, tuple(distinct), partial(_losses, stack, batches, whole))
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
                path, _, leaf = name.rpartition(".")
                setattr(network.get_submodule(path), leaf, parameter)
        self.networks, self.device = tuple(networks), device  # a tuple: their parameters are not this module's
        self._names, self._unchecked = names, (_Unchecked(networks[0]),)

    def forward(self, tokens: Tensor, query_positions: Tensor) -> Tensor:
        """[member batch query vocab]"""
        whole = {f"model.{name}": value for name, value in zip(self._names, self.whole, strict=True)}
        return vmap(lambda own, x: functional_call(self._unchecked[0], own, (x, query_positions)))(whole, tokens)

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


def _losses(stack: _Stack, batches: Sequence[Batches], whole: Sequence[Batch] | None, step: int) -> tuple[Tensor]:
    """The sum over members of each one's mean loss: no member's gradient meets another's."""
    now = whole or [b.at(step)[0][0] for b in batches]
    with stack.device.autocast():
        logits = stack(torch.stack([batch.tokens for batch in now]), now[0].query_positions)
    answers = torch.cat([batch.of_asked(logits[i].flatten(0, 1)) for i, batch in enumerate(now)])
    targets = torch.cat([batch.targets for batch in now])
    shares = [torch.full_like(batch.targets, 1.0, dtype=torch.float32) / len(batch.targets) for batch in now]
    return (cross_entropy(answers, targets, scale=torch.cat(shares)[:, None]),)


def _check_alike(variants: Sequence[Variant]) -> None:
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
