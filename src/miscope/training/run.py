"""A model in training: its weights, its optimizer and its step, which together decide everything that follows."""

from collections.abc import Mapping
from dataclasses import dataclass

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


class Run:
    """One variant in training. Data and schedules are functions of the step: the state is weights and moments."""

    def __init__(self, variant: Variant, device: Device) -> None:
        self.variant, self.device, self.step = variant, device, 0
        self.model = Transformer(variant.model, variant.seed).to(device.torch)
        self.optimizer = optimizer(self.model.parameters(), variant.recipe)
        self.recipe = variant.recipe
        self.batches = Batches(variant.family, variant.data_seed, variant.recipe, variant.model.n_ctx, device)
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
        train = self.batches.train.loss_and_accuracy(self.model, self.device)
        test = self.batches.test.loss_and_accuracy(self.model, self.device)
        return Evaluation(self.step, train[0], test[0], train[1], test[1])

    def state(self) -> dict[str, Tensor]:
        """Weights and the optimizer's moments; with the step, all that resuming needs."""
        moments = self.optimizer.state_dict()["state"]
        return {f"model.{name}": value for name, value in self.model.state_dict().items()} | {
            f"optimizer.{i}.{name}": torch.as_tensor(value)
            for i, values in moments.items()
            for name, value in values.items()
            if value is not None
        }

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Go to a step whose state was kept.

        Raises:
            MiscopeError: the state is of another model or optimizer.
        """
        try:
            self.model.load_state_dict(_below("model.", state))
        except RuntimeError as error:
            raise MiscopeError(f"The state kept at step {step} is of another model: {error}") from None
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer.", state).items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
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
        n_ctx = self.variant.model.n_ctx
        self.batches = Batches(branch.family, branch.data_seed, branch.recipe, n_ctx, self.device)


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
