"""Many variants of one shape in training side by side: their weights are stacked, and each matmul serves them all.

A step of a small model leaves a GPU idle, waiting for the next kernel; stacked, dozens of seeds cost little more than
one. Members may differ in seed, data seed, learning rate and weight decay. Each has its own files, states and curve, as
if it had trained alone; its numbers are those of a lone run but for the order of float32 sums.

Source: the stacking is that of `torch.func.vmap` over `functional_call` (model ensembling in torch's tutorials).
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from miscope.core import MiscopeError, Recipe, Variant
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.batches import Batch, Batches
from miscope.training.device import Device
from miscope.training.graphs import Replayed, can_replay
from miscope.training.loss import cross_entropy
from miscope.training.optimization import learning_rate, optimizer, set_rate
from miscope.training.run import Evaluation, evaluation, resume_steps
from miscope.training.updates import moments_as_tensors, moments_of
from miscope.workspace import store


class Cohort:
    """Variants in training in lockstep. Parameters are [member, ...]; a member's own are views into them."""

    def __init__(self, variants: Sequence[Variant], device: Device) -> None:
        _check_alike(variants)
        self.variants, self.device, self.step = tuple(variants), device, 0
        models = [Transformer(v.model, v.seed).to(device.torch) for v in variants]
        names = [name for name, _ in models[0].named_parameters()]
        stacked = {name: torch.stack([m.get_parameter(name).detach() for m in models]) for name in names}
        self._stacked = {f"model.{name}": value.requires_grad_() for name, value in stacked.items()}
        self._own = [[nn.Parameter(value.data[i]) for value in stacked.values()] for i in range(len(models))]
        for model, own in zip(models, self._own, strict=True):
            for name, parameter in zip(names, own, strict=True):
                _put(model, name, parameter)
        self.models, self._unchecked = models, _Unchecked(models[0])
        self._groups = _groups(variants, self._own)
        self.batches = [Batches(v.family, v.data_seed, v.recipe, v.model, device) for v in variants]
        self._whole = None if variants[0].recipe.batch_size else [b.at(0)[0][0] for b in self.batches]
        optimizers = [optim for _, _, optim in self._groups]
        self.graph = Replayed(optimizers) if can_replay(variants[0].recipe, device) else None

    def advance(self) -> None:
        """One update of every member."""
        for recipe, _, optim in self._groups:
            set_rate(optim, learning_rate(recipe, self.step))
        if self.graph is None:
            self._update()
        else:
            self.graph(self._update)
        self.step += 1

    def _update(self) -> Tensor:
        """Everyone's gradient and optimizer's step; what comes back is the sum of their losses."""
        batches = self._whole or [b.at(self.step)[0][0] for b in self.batches]
        for value in self._stacked.values():
            value.grad = None
        loss = self._loss(batches)
        loss.backward()
        for i, own in enumerate(self._own):
            for parameter, value in zip(own, self._stacked.values(), strict=True):
                parameter.grad = None if value.grad is None else value.grad[i]
        for _, _, optim in self._groups:
            optim.step()
        return loss.detach()

    def restore(self, step: int, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go to a step whose state every member kept."""
        for member, state in zip(self.members(), states, strict=True):
            member.restore(state)
        if self.graph is not None:
            self.graph.forget()  # the moments are other tensors now
        self.step = step

    @property
    def refused(self) -> str:
        """Why updates are launched kernel by kernel where a GPU could launch them as one; empty where they are not."""
        return self.graph.refused if self.graph is not None else ""

    def members(self) -> list["Member"]:
        return [Member(self, i) for i in range(len(self.variants))]

    def _loss(self, batches: Sequence[Batch]) -> Tensor:
        """The sum over members of each one's mean loss: no member's gradient meets another's."""
        read = batches[0].read
        tokens = torch.stack([batch.tokens for batch in batches])
        with self.device.autocast():
            one = functools.partial(functional_call, self._unchecked)
            logits = vmap(lambda weights, x: one(weights, (x, read)))(self._stacked, tokens)
        answers = torch.cat([batch.of_asked(logits[i].flatten(0, 1)) for i, batch in enumerate(batches)])
        targets = torch.cat([batch.targets for batch in batches])
        shares = [torch.full_like(batch.targets, 1.0, dtype=torch.float32) / len(batch.targets) for batch in batches]
        return cross_entropy(answers, targets, scale=torch.cat(shares)[:, None])

    def of(self, i: int) -> tuple[list[nn.Parameter], torch.optim.Optimizer, int]:
        """A member's parameters, the optimizer that moves them, and the place of the first in it."""
        for _, members, optim in self._groups:
            if i in members:
                return self._own[i], optim, members.index(i) * len(self._own[i])
        raise IndexError(i)


@dataclass(frozen=True)
class Member:
    """One variant of a cohort, seen as a run of its own."""

    cohort: Cohort
    index: int

    @property
    def variant(self) -> Variant:
        return self.cohort.variants[self.index]

    @property
    def model(self) -> Transformer:
        return self.cohort.models[self.index]

    @property
    def device(self) -> Device:
        return self.cohort.device

    @property
    def step(self) -> int:
        return self.cohort.step

    def evaluate(self) -> Evaluation:
        """Losses and accuracies with the present weights, train and test alike."""
        return evaluation(self.step, self.cohort.batches[self.index], self.model, self.variant)

    @property
    def keeps(self) -> set[int]:
        return resume_steps(self.variant)

    def save(self, path: Path, training: str) -> None:
        """Write a checkpoint of the present weights."""
        store.save_checkpoint(path, self.step, self.variant.model, weights(self.model), training)

    def state(self) -> dict[str, Tensor]:
        """Weights and moments, as a lone run keeps them."""
        own, optim, first = self.cohort.of(self.index)
        state = optim.state_dict()["state"]
        mine = {i: state[first + i] for i in range(len(own)) if first + i in state}
        return {f"model.{name}": value for name, value in self.model.state_dict().items()} | moments_as_tensors(mine)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go to a state that this member, or a lone run of it, kept."""
        own, optim, first = self.cohort.of(self.index)
        for name, parameter in zip(dict(self.model.named_parameters()), own, strict=True):
            parameter.copy_(state[f"model.{name}"])
        mine = moments_of(state)
        everyones = optim.state_dict()
        everyones["state"] |= {first + i: values for i, values in mine.items()}
        optim.load_state_dict(everyones)


class _Unchecked(nn.Module):
    """The model with a hook that looks at nothing: it then changes no activation in place, which vmap does not allow."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, read: Tensor) -> Tensor:
        return self.model.logits_at(tokens, read, lambda name, x: x)


def _put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, parameter)


def _groups(
    variants: Sequence[Variant], own: Sequence[list[nn.Parameter]]
) -> list[tuple[Recipe, list[int], torch.optim.Optimizer]]:
    """Members of one recipe share an optimizer: it moves all their parameters in a few kernels."""
    recipes = [v.recipe for v in variants]
    firsts = [i for i, recipe in enumerate(recipes) if recipe not in recipes[:i]]
    members = [[i for i, recipe in enumerate(recipes) if recipe == recipes[first]] for first in firsts]
    return [(recipes[who[0]], who, optimizer([p for i in who for p in own[i]], recipes[who[0]])) for who in members]


def _check_alike(variants: Sequence[Variant]) -> None:
    """
    Raises:
        MiscopeError: a member differs from the first in what all must share.
    """
    first, cohort = variants[0], f"Cohort `{variants[0].recipe.cohort}`:"
    for other in variants[1:]:
        for what, alike in _likeness(first, other).items():
            if not alike:
                raise MiscopeError(
                    f"{cohort} `{other.name}` differs from `{first.name}` in its {what}; members may differ in seed, "
                    "data_seed, learning_rate and weight_decay."
                )
    if any(v.branch or v.adaptive for v in variants) or first.recipe.accumulate > 1:
        raise MiscopeError(f"{cohort} its members may have no branch, no adaptive checkpoints and no `accumulate`.")


def _likeness(first: Variant, other: Variant) -> dict[str, bool]:
    sizes = [len(v.family.split(v.data_seed).train) for v in (first, other)]
    kept = [replace(v.recipe, learning_rate=0.0, weight_decay=0.0) for v in (first, other)]
    return {
        "family": first.family_name == other.family_name,
        "model": first.model == other.model,
        "number of examples": sizes[0] == sizes[1],
        "recipe": kept[0] == kept[1],
    }
