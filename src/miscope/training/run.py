"""A variant in training: its weights, its optimizer and its step, which together decide everything that follows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from miscope.core import MiscopeError, Variant
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.batches import Batches
from miscope.training.device import Device
from miscope.training.graphs import Replayed, can_replay
from miscope.training.optimization import optimizer
from miscope.training.updates import Updates
from miscope.workspace import store


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats (float64) and accuracies with the weights of `step`."""

    step: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float


class Run(Updates):
    """One variant in training."""

    batches: Batches

    def __init__(self, variant: Variant, device: Device) -> None:
        model = Transformer(variant.model, variant.seed).to(device.torch)
        batches = Batches(variant.family, variant.data_seed, variant.recipe, variant.model, device)
        super().__init__(model, optimizer(model.parameters(), variant.recipe), variant.recipe, batches, device)
        self.variant = variant
        self.graph = Replayed([self.optimizer]) if can_replay(self.recipe, device) else None
        self._enter()

    @property
    def refused(self) -> str:
        return self.graph.refused if self.graph is not None else ""

    @property
    def keeps(self) -> set[int]:
        return resume_steps(self.variant)

    def evaluate(self) -> Evaluation:
        """Losses and accuracies with the present weights, train and test alike.

        Raises:
            MiscopeError: the train loss is not finite.
        """
        return evaluation(self.step, self.batches, self.model, self.variant)

    def save(self, path: Path, training: str) -> None:
        """Write a checkpoint of the present weights."""
        store.save_checkpoint(path, self.step, self.variant.model, weights(self.model), training)

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        super().restore(step, state)
        self._capture_anew()  # the moments are other tensors now

    def _update(self) -> Tensor:
        return super()._update() if self.graph is None else self.graph(super()._update)

    def _capture_anew(self) -> None:
        if self.graph is not None:
            self.graph.forget()

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
        self._capture_anew()


def evaluation(step: int, batches: Batches, model: Transformer, variant: Variant) -> Evaluation:
    """Losses and accuracies of a model, train and test alike.

    Raises:
        MiscopeError: the train loss is not finite.
    """
    train, test = (part.loss_and_accuracy(model, batches.device) for part in (batches.train, batches.test))
    if not math.isfinite(train[0]):
        raise MiscopeError(
            f"The train loss of `{variant.name}` is {train[0]} at step {step}; "
            f"lower variants.{variant.name}.learning_rate ({variant.recipe.learning_rate:g}) and run `dvc repro` again."
        )
    return Evaluation(step, train[0], test[0], train[1], test[1])


def resume_steps(variant: Variant) -> set[int]:
    """Where states are kept: evenly, the last step among them. A state weighs three checkpoints."""
    recipe, asked = variant.recipe, variant.recipe.resume_points
    n = asked if asked >= 0 else max(1, min(8, len(variant.checkpoint_steps) // 4))
    return {round(recipe.steps * i / n) for i in range(1, n + 1)}
