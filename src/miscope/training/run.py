"""A model in training: its weights, its optimizer and its step, which together decide everything that follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from miscope.core import MiscopeError, Variant
from miscope.model.transformer import Transformer
from miscope.training.batches import Batches
from miscope.training.device import Device
from miscope.training.optimization import learning_rate, optimizer


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats (float64) and accuracies with the weights of `step`."""

    step: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float


@runtime_checkable
class Trainee(Protocol):
    """A variant in training, alone or in a cohort: what the loop evaluates and keeps."""

    @property
    def variant(self) -> Variant: ...
    @property
    def device(self) -> Device: ...
    @property
    def model(self) -> Transformer: ...
    @property
    def step(self) -> int: ...
    def evaluate(self) -> Evaluation: ...
    def state(self) -> dict[str, Tensor]: ...


class Run:
    """One variant in training. Data and schedules are functions of the step: the state is weights and moments."""

    def __init__(self, variant: Variant, device: Device) -> None:
        self.variant, self.device, self.step = variant, device, 0
        self.model = Transformer(variant.model, variant.seed).to(device.torch)
        self.optimizer = optimizer(self.model.parameters(), variant.recipe)
        self.recipe = variant.recipe
        self.batches = Batches(variant.family, variant.data_seed, variant.recipe, variant.model, device)
        self._enter()

    def advance(self) -> Tensor:
        """One update; what comes back is this process's share of the train loss before it, still on the device."""
        rate = learning_rate(self.recipe, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        micro_batches, n_answers = self.batches.at(self.step)
        losses = []
        for batch in micro_batches:
            loss = batch.share_of_loss(self.model, self.device, n_answers)
            loss.backward()
            losses.append(loss.detach())
        self.device.sum_gradients(self.model)
        self.optimizer.step()
        self.step += 1
        self._enter()
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def evaluate(self) -> Evaluation:
        """Losses and accuracies with the present weights, train and test alike."""
        return evaluation(self.step, self.batches, self.model)

    def state(self) -> dict[str, Tensor]:
        """Weights and the optimizer's moments; with the step, all that resuming needs."""
        weights = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return weights | moments_as_tensors(self.optimizer.state_dict()["state"])

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Go to a step whose state was kept.

        Raises:
            MiscopeError: the state is of another model or optimizer.
        """
        try:
            self.model.load_state_dict(_below("model.", state))
        except RuntimeError as error:
            raise MiscopeError(f"The state kept at step {step} is of another model: {error}") from None
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments_of(state), "param_groups": groups})
        self.step = step
        self._enter()

    def _enter(self) -> None:
        """Take up the settings that hold from this step on: a branch departs from its parent here."""
        branch = self.variant.branch
        if branch is None or self.step < branch.at or self.recipe is branch.recipe:
            return
        self.recipe = branch.recipe
        for group in self.optimizer.param_groups:
            group["weight_decay"] = branch.recipe.weight_decay
            if "betas" in group:
                group["betas"] = branch.recipe.betas
        self.batches = Batches(branch.family, branch.data_seed, branch.recipe, self.variant.model, self.device)


def evaluation(step: int, batches: Batches, model: Transformer) -> Evaluation:
    """Losses and accuracies of a model, train and test alike."""
    train, test = (part.loss_and_accuracy(model, batches.device) for part in (batches.train, batches.test))
    return Evaluation(step, train[0], test[0], train[1], test[1])


def moments_as_tensors(moments: Mapping[int, Mapping[str, Any]]) -> dict[str, Tensor]:
    """An optimizer's state by parameter, as named tensors."""
    return {
        f"optimizer.{i}.{name}": torch.as_tensor(value)
        for i, values in moments.items()
        for name, value in values.items()
        if value is not None
    }


def moments_of(state: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The optimizer's part of a kept state: parameter -> name -> value."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below("optimizer.", state).items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = value
    return moments


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
