"""The one update: rate, gradient, optimizer. What it trains, and on what, it does not know."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from miscope.core import MiscopeError, Recipe
from miscope.training.device import Device
from miscope.training.optimization import learning_rate, set_rate


@runtime_checkable
class MicroBatch(Protocol):
    """A part of a batch that can say what it adds to the batch's loss."""

    def share_of_loss(self, model: Any, device: Device, n_answers: int) -> Tensor: ...


@runtime_checkable
class Feed(Protocol):
    """Batches by step, so that a resumed run needs no more than its step."""

    def at(self, step: int) -> tuple[Sequence[MicroBatch], int]:
        """This process's micro-batches for the update from `step`, and the answers in all of them, everywhere."""
        ...


class Updates:
    """A model in training. Data, schedules and chance are functions of the step: the state is weights and moments."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, batches: Feed, device: Device
    ) -> None:
        self.model: Any = model
        self.optimizer, self.recipe, self.batches, self.device = optimizer, recipe, batches, device
        self.step = 0

    @property
    def refused(self) -> str:
        """Why updates are launched kernel by kernel where a GPU could launch them as one; empty where they are not."""
        return ""

    def advance(self) -> Tensor:
        """One update; what comes back is this process's share of the train loss before it, still on the device.

        The next call may overwrite it.
        """
        self._set_rates(learning_rate(self.recipe, self.step))
        loss = self._update()
        self.step += 1
        self._enter()
        return loss

    def _update(self) -> Tensor:
        """Gradient and optimizer's step, at the rates that are set."""
        self.optimizer.zero_grad(set_to_none=True)
        micro_batches, n_answers = self.batches.at(self.step)
        losses = []
        for batch in micro_batches:
            loss = batch.share_of_loss(self.model, self.device, n_answers)
            loss.backward()
            losses.append(loss.detach())
        self.device.sum_gradients(self.model)
        self.optimizer.step()
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

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
            self.model.load_state_dict(below("model.", state))
        except RuntimeError as error:
            raise MiscopeError(f"The state kept at step {step} is of another model: {error}") from None
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments_of(state), "param_groups": groups})
        self.step = step
        self._enter()

    def _set_rates(self, rate: float) -> None:
        set_rate(self.optimizer, rate)

    def _enter(self) -> None:
        """Take up what holds from this step on."""


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
    for name, value in below("optimizer.", state).items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = value
    return moments


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
