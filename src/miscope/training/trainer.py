"""The one update, and what is moved by it: a lone variant, an ensemble and a point of a study are data for one Trainer.

Data, schedules and chance are functions of the step, so that weights and the optimizer's moments are all of the state.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from miscope.core import Family, MiscopeError, Recipe, Variant, field_names
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.batches import Batches
from miscope.training.device import Device
from miscope.training.optimization import learning_rate, optimizer_for, set_rate
from miscope.workspace import store

State = dict[str, Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats (float64) and accuracies with the weights of `step`, and the family's own numbers."""

    step: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float
    metrics: Mapping[str, float]

    def numbers(self) -> dict[str, float]:
        """All of them by name, the step first."""
        return {name: getattr(self, name) for name in field_names(Evaluation)[:5]} | dict(self.metrics)

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> "Evaluation":
        """The evaluation that has these `numbers`."""
        step, train_loss, test_loss, train_accuracy, test_accuracy = list(numbers.values())[:5]
        metrics = dict(list(numbers.items())[5:])
        return cls(int(step), train_loss, test_loss, train_accuracy, test_accuracy, metrics)


@dataclass(frozen=True)
class Model:
    """One model in training, as the loop sees it."""

    evaluate: Callable[[int], Any]  # step -> evaluation, a dataclass with `step` and `numbers()`
    save: Callable[[Path, int, str], None]  # (path, step, key of the training): write a checkpoint
    state: Callable[[], State]  # weights and moments
    restore: Callable[[Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Stretch:
    """How updates are made from a step on; a branch departs from its parent where a second one begins."""

    start: int
    recipes: tuple[Recipe, ...]  # one for each optimizer
    losses: Callable[[int], Iterable[Tensor]]  # step -> shares of the loss, differentiated one after another


class Trainer:
    """Models that move together, at one step."""

    def __init__(
        self, models: Sequence[Model], network: nn.Module, optimizers: Sequence[torch.optim.Optimizer],
        stretches: Sequence[Stretch], device: Device, *, hand_on: Callable[[], None] = lambda: None,
        chance: Callable[[int], AbstractContextManager[Any]] = lambda step: nullcontext(),
    ) -> None:  # fmt: skip
        """`hand_on` gives gradients to those that own them; `chance` seeds torch's own generators for an update."""
        self.models, self.optimizers, self.device, self.step = tuple(models), tuple(optimizers), device, 0
        self._network, self._stretches = network, tuple(stretches)
        self._hand_on, self._chance = hand_on, chance
        self._replay: Any = None
        self._stretch = self._stretches[0]

    def advance(self) -> Tensor:
        """One update; what comes back is this process's share of the train loss before it, still on the device.

        The next call may overwrite it.
        """
        for optimizer, recipe in zip(self.optimizers, self._stretch.recipes, strict=True):
            set_rate(optimizer, learning_rate(recipe, self.step))
        with self._chance(self.step):
            loss = self._update() if self._replay is None else self._replay(self._update)
        self.step += 1
        self._enter()
        return loss

    def _update(self) -> Tensor:
        """Gradient and optimizer's step, at the rates that are set."""
        self._network.zero_grad(set_to_none=True)
        shares = []
        for share in self._stretch.losses(self.step):
            share.backward()
            shares.append(share.detach())
        self.device.sum_gradients(self._network)
        self._hand_on()
        for optimizer in self.optimizers:
            optimizer.step()
        return shares[0] if len(shares) == 1 else torch.stack(shares).sum()

    def restore(self, step: int, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go to a step at which every model's state was kept; one of another model or optimizer is refused."""
        for model, state in zip(self.models, states, strict=True):
            try:
                model.restore(state)
            except (RuntimeError, KeyError) as error:
                raise MiscopeError(f"The state kept at step {step} is of another model: {error}") from None
        self.step = step
        self._enter()
        self._capture_anew()  # the moments are other tensors now

    def launch_by(self, replay: Any) -> None:
        """Have updates launched by `training.graphs.Replayed`, which captures them on a GPU."""
        self._replay = replay

    @property
    def fallback_reason(self) -> str:
        """Why updates are launched kernel by kernel where a GPU could launch them as one; empty where they are not."""
        return self._replay.refused if self._replay is not None else ""

    @property
    def is_replaying(self) -> bool:
        """Whether the last update was one launch of a CUDA graph."""
        return self._replay is not None and self._replay.is_replaying

    def _enter(self) -> None:
        """Take up the settings that hold from this step on."""
        stretch = max((s for s in self._stretches if s.start <= self.step), key=lambda s: s.start)
        if stretch is self._stretch:
            return
        self._stretch = stretch
        for optimizer, recipe in zip(self.optimizers, stretch.recipes, strict=True):
            for group in optimizer.param_groups:
                group |= {"weight_decay": recipe.weight_decay} | ({"betas": recipe.betas} if "betas" in group else {})
        self._capture_anew()

    def _capture_anew(self) -> None:
        if self._replay is not None:
            self._replay.forget()


def lone(variant: Variant, device: Device) -> Trainer:
    """A Trainer of one variant, at step 0."""
    settings = {0: variant} | ({variant.branch.at: variant.branch} if variant.branch else {})
    batches = {s: Batches(one.family, one.data_seed, one.recipe, variant.model, device) for s, one in settings.items()}
    network = Transformer(variant.model, variant.seed).to(device.torch)
    optimizer = optimizer_for(network.parameters(), settings[0].recipe)

    def evaluate(step: int) -> Evaluation:
        return evaluation(step, batches[max(start for start in batches if start <= step)], network, variant)

    model = model_of(variant, network, optimizer, evaluate)
    stretches = [Stretch(s, (one.recipe,), partial(_losses, batches[s], network)) for s, one in settings.items()]
    return Trainer([model], network, [optimizer], stretches, device)


def model_of(
    variant: Variant, network: Transformer, optimizer: torch.optim.Optimizer, evaluate: Callable[[int], Evaluation]
) -> Model:
    """A variant's network with what moves and what evaluates it."""
    return Model(
        evaluate,
        save=lambda path, step, key: store.save_checkpoint(path, step, variant.model, weights(network), key),
        state=lambda: state_of(network, optimizer),
        restore=lambda state: restore(network, optimizer, state),
    )


def _losses(batches: Batches, network: Transformer, step: int) -> Iterator[Tensor]:
    micro_batches, n_answers = batches.at(step)
    for batch in micro_batches:
        yield batch.share_of_loss(network, n_answers)


def evaluation(step: int, batches: Batches, network: Transformer, variant: Variant) -> Evaluation:
    """Losses, accuracies and the family's own metrics, train and test alike; a train loss must be finite."""
    train, test = (part.loss_and_accuracy(network) for part in (batches.train, batches.test))
    if not math.isfinite(train[0]):
        raise MiscopeError(
            f"The train loss of `{variant.name}` is {train[0]} at step {step}; "
            f"lower variants.{variant.name}.learning_rate ({variant.recipe.learning_rate:g}) and run `dvc repro` again."
        )
    return Evaluation(step, train[0], test[0], train[1], test[1], _metrics(batches, network, variant.family))


def _metrics(batches: Batches, network: Transformer, family: Family) -> dict[str, float]:
    """The family's own numbers of both splits, as `train_<name>` and `test_<name>`."""
    if type(family).metrics is Family.metrics:
        return {}
    numbers: dict[str, float] = {}
    for split, examples in (("train", batches.split.train), ("test", batches.split.test)):
        own = family.metrics(batches.logits_of(examples, network), examples)
        if taken := {"loss", "accuracy"} & own.keys():
            raise MiscopeError(f"The family's `metrics` has `{min(taken)}`, a name of the curve's own; choose another.")
        numbers |= {f"{split}_{name}": float(value) for name, value in own.items()}
    return numbers


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Weights and moments of the network, which may be one of several that the optimizer moves.

    With the step, this is all that resuming needs.
    """
    moments = {
        f"optimizer.{i}.{name}": torch.as_tensor(value)
        for i, parameter in enumerate(network.parameters())
        for name, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }
    return {f"model.{name}": value for name, value in network.state_dict().items()} | moments


def restore(network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Take up a state that was kept."""
    network.load_state_dict(below("model.", state))
    moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = {parameter: number for number, parameter in enumerate(moved)}
    everyones = optimizer.state_dict()
    for i, parameter in enumerate(network.parameters()):
        everyones["state"].pop(numbers.get(parameter), None)
        if moments := below(f"optimizer.{i}.", state):
            everyones["state"][numbers[parameter]] = moments
    optimizer.load_state_dict(everyones)


def below(prefix: str, state: Mapping[str, Tensor]) -> State:
    """The entries whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
