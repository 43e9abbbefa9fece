"""What a scaling study may be made of: anything that behaves like these three. No base class, no registration.

An `isinstance` check on a Protocol sees names alone, so `miscope.scaling.plugins` calls every method.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

Batch = Mapping[str, Any]  # tensors by name, whose first axis is the batch; what is no tensor is left alone


@runtime_checkable
class ScalableModel(Protocol):
    """An `nn.Module` whose forward takes a batch. It knows neither the data nor the loss.

    Two more, if it has them: `size_configs(targets, **settings)`, a class method that gives the settings of a model for
    each number of parameters asked for, and `estimate_flops(tokens)` of training on so many tokens, forward and back.
    """

    def __call__(self, batch: Batch) -> Any: ...

    def num_params(self, non_embedding: bool = True) -> int:
        """Parameters; without those of token and position embeddings, or all."""
        ...

    def configure_optimizers(
        self, learning_rate: float, weight_decay: float, betas: tuple[float, float]
    ) -> Optimizer: ...


@runtime_checkable
class ScalableDataset(Protocol):
    """A source of batches. One more, if it has it: `entropy()`, the least loss that any model can reach, in nats."""

    def build(self, split: str) -> Any:
        """The split `train` or `test`, in one of three forms; an example is a mapping of tensors.

        `len(x)` and `x[i]`: examples, shuffled in each epoch. `iter(x)`: examples, taken as they come. `x.batch(seed,
        step, size)`: fresh batches that seed and step decide. Elements of `labels` count as tokens seen.
        """
        ...

    def token_count(self) -> int | None:
        """Tokens in `train`; None where they never end."""
        ...


@runtime_checkable
class ScalableLoss(Protocol):
    """What a model's output is worth on a batch: a mean over its examples, one finite number in nats."""

    def __call__(self, output: Any, batch: Batch) -> Tensor: ...
