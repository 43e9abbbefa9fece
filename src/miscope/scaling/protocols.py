"""What a scaling study may be made of: anything that behaves like these three. No base class, no registration.

An `isinstance` check on a Protocol sees names alone, so `miscope.scaling.plugins` calls every method. Whatever form a
dataset comes in, `source` gives its batches by step, so that a resumed run sees what it would have seen.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import IterableDataset, default_collate

from miscope.core import MiscopeError
from miscope.model.initialisation import own_generator

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


@runtime_checkable
class Source(Protocol):
    """Batches that seed and step decide."""

    def batch(self, seed: int, step: int, size: int) -> Batch: ...


def source(built: Any) -> Source:
    """Any of the three forms as batches by step."""
    if isinstance(built, Source):
        return built
    if hasattr(built, "__len__") and hasattr(built, "__getitem__") and not isinstance(built, IterableDataset):
        return Shuffled(built)
    if hasattr(built, "__iter__"):
        return InOrder(built)
    raise MiscopeError(f"`build` gives {type(built).__name__}, which has no `len` and `[i]`, no `iter`, no `batch`.")


class Table:
    """Examples that lie in memory, as rows of tensors by name: `len`, one by its number, and many at once."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {name: column[i] for name, column in self.columns.items()}

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """The batch of these examples."""
        return {name: torch.index_select(column, 0, rows) for name, column in self.columns.items()}


class Shuffled:
    """Every example once an epoch, in an order that the seed and the epoch's number decide."""

    def __init__(self, examples: Any) -> None:
        self._examples, self._n = examples, len(examples)
        self._order: tuple[tuple[int, int], Tensor] | None = None

    def batch(self, seed: int, step: int, size: int) -> Batch:
        epochs = itertools.groupby(range(step * size, (step + 1) * size), key=lambda i: i // self._n)
        rows = [self._of(seed, epoch)[torch.tensor(list(inside)) % self._n] for epoch, inside in epochs]
        return self.take(torch.cat(rows))

    def _of(self, seed: int, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != (seed, epoch):
            self._order = (seed, epoch), torch.randperm(self._n, generator=own_generator(seed, f"epoch {epoch}"))
        return self._order[1]

    def take(self, rows: Tensor) -> Batch:
        """The batch of these examples."""
        if not hasattr(self._examples, "take"):
            return _collated([self._examples[i] for i in rows.tolist()])
        batch: Batch = self._examples.take(rows)
        return batch

    def in_order(self, size: int) -> Iterator[Batch]:
        """All examples, each once."""
        for start in range(0, self._n, size):
            yield self.take(torch.arange(start, min(start + size, self._n)))


class InOrder:
    """Examples as they come; a step further back, or a resumed run, begins anew and passes over what was seen."""

    def __init__(self, examples: Any) -> None:
        self._examples = examples
        self._rest: Iterator[Any] = iter(())
        self._at = -1

    def batch(self, seed: int, step: int, size: int) -> Batch:
        if self._at < 0 or self._at > step * size:
            self._rest, self._at = iter(self._examples), 0
        passed = sum(1 for _ in itertools.islice(self._rest, step * size - self._at))
        rows = list(itertools.islice(self._rest, size))
        if passed < step * size - self._at or len(rows) < size:
            seen = self._at + passed + len(rows)
            raise MiscopeError(f"The data end after {seen:,} examples, in update {step + 1:,}.")
        self._at = (step + 1) * size
        return _collated(rows)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All examples, each once."""
        examples = iter(self._examples)
        while rows := list(itertools.islice(examples, size)):
            yield _collated(rows)


def _collated(rows: list[Any]) -> Batch:
    batch: Batch = default_collate(rows)
    return batch


def held_out(built: Any, size: int, most_tokens: int) -> list[Batch]:
    """The test's batches in order, up to so many tokens."""
    test = source(built)
    endless = (test.batch(0, step, size) for step in itertools.count())
    batches: list[Batch] = []
    for batch in test.in_order(size) if isinstance(test, Shuffled | InOrder) else endless:
        batches.append(batch)
        if sum(map(tokens_in, batches)) >= most_tokens:
            break
    if not batches:
        raise MiscopeError("The split `test` is empty.")
    return batches


def tokens_in(batch: Batch) -> int:
    """Elements of `labels`, or rows where there are none."""
    return batch["labels"].numel() if isinstance(batch.get("labels"), Tensor) else n_rows(batch)


def n_rows(batch: Batch) -> int:
    """The length of the tensors' first axis."""
    lengths = {len(x) for x in batch.values() if isinstance(x, Tensor)} if isinstance(batch, Mapping) else set()
    if len(lengths) != 1:
        given = f"lengths {sorted(lengths)}" if lengths else type(batch).__name__
        raise MiscopeError(f"A batch must be a mapping of tensors with one number of rows; this one: {given}.")
    return lengths.pop()
