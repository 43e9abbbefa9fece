"""Batches by step, from whatever form a dataset comes in, so that a resumed run sees what it would have seen."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from miscope.core import MiscopeError, Recipe
from miscope.model.initialisation import own_generator
from miscope.scaling.protocols import Batch, ScalableLoss
from miscope.training.device import Device


@runtime_checkable
class Source(Protocol):
    """Batches that seed and step decide."""

    def batch(self, seed: int, step: int, size: int) -> Batch: ...


def source(built: Any) -> Source:
    """Any of the three forms as batches by step.

    Raises:
        MiscopeError: it has none of the forms.
    """
    if hasattr(built, "batch"):
        return built
    is_counted = hasattr(built, "__len__") and hasattr(built, "__getitem__")
    if is_counted and not isinstance(built, IterableDataset):
        return Shuffled(built)
    if hasattr(built, "__iter__"):
        return InOrder(built)
    raise MiscopeError(f"`build` gives {type(built).__name__}, which has no `len` and `[i]`, no `iter`, no `batch`.")


class Shuffled:
    """Every example once an epoch, in an order that the seed and the epoch's number decide."""

    def __init__(self, examples: Any) -> None:
        self._examples, self._n = examples, len(examples)
        self._order: tuple[tuple[int, int], Tensor] | None = None

    def batch(self, seed: int, step: int, size: int) -> Batch:
        places = range(step * size, (step + 1) * size)
        epochs = itertools.groupby(places, key=lambda place: place // self._n)
        rows = [self._of(seed, epoch)[torch.tensor(list(inside)) % self._n] for epoch, inside in epochs]
        return taken(self._examples, torch.cat(rows))

    def _of(self, seed: int, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != (seed, epoch):
            self._order = (seed, epoch), torch.randperm(self._n, generator=own_generator(seed, f"epoch {epoch}"))
        return self._order[1]


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
            raise MiscopeError(
                f"The data end after {self._at + passed + len(rows):,} examples, in update {step + 1:,}."
            )
        self._at = (step + 1) * size
        return default_collate(rows)


def taken(examples: Any, rows: Tensor) -> Batch:
    """The batch of these examples of a split that has a length."""
    if hasattr(examples, "take"):
        return examples.take(rows)
    return default_collate([examples[i] for i in rows.tolist()])


def tokens_in(batch: Batch) -> int:
    """Elements of `labels`, or rows where there are none."""
    return batch["labels"].numel() if isinstance(batch.get("labels"), Tensor) else n_rows(batch)


def n_rows(batch: Batch) -> int:
    """The length of the tensors' first axis.

    Raises:
        MiscopeError: the batch is no mapping with tensors, or they differ in length.
    """
    lengths = {len(x) for x in batch.values() if isinstance(x, Tensor)} if isinstance(batch, Mapping) else set()
    if len(lengths) != 1:
        found = f"lengths {sorted(lengths)}" if lengths else type(batch).__name__
        raise MiscopeError(f"A batch must be a mapping of tensors with one number of rows; found: {found}.")
    return lengths.pop()


class Part:
    """A micro-batch on a device, with the loss that is asked of it."""

    def __init__(self, batch: Batch, loss: ScalableLoss) -> None:
        self._batch, self._loss, self._n = batch, loss, n_rows(batch)

    def share_of_loss(self, model: Any, device: Device, n_answers: int) -> Tensor:
        """What these rows add to the mean over `n_answers` rows."""
        with device.autocast():
            output = model(self._batch)
        return self._loss(output, self._batch) * (self._n / n_answers)


class Batches:
    """The batches of one run, which counts the tokens that it hands out."""

    def __init__(self, train: Any, loss: ScalableLoss, recipe: Recipe, seed: int, device: Device) -> None:
        self._source, self._loss, self._recipe = source(train), loss, recipe
        self._seed, self._device = seed, device
        self.tokens = 0

    def at(self, step: int) -> tuple[list[Part], int]:
        batch = self._source.batch(self._seed, step, self._recipe.batch_size)
        self.tokens += tokens_in(batch)
        share = self._device.place(batch)
        parts = max(1, min(self._recipe.accumulate, n_rows(share)))
        return [Part(rows_of(share, slice(i, None, parts)), self._loss) for i in range(parts)], n_rows(batch)


def held_out(built: Any, size: int, most_tokens: int) -> list[Batch]:
    """The test's batches in order, up to so many tokens."""
    batches: list[Batch] = []
    for batch in _in_order(built, size):
        batches.append(batch)
        if sum(map(tokens_in, batches)) >= most_tokens:
            break
    if not batches:
        raise MiscopeError("The split `test` is empty.")
    return batches


def _in_order(built: Any, size: int) -> Iterator[Batch]:
    if hasattr(built, "batch"):
        yield from (built.batch(0, step, size) for step in itertools.count())
    elif isinstance(source(built), Shuffled):
        yield from (taken(built, rows) for rows in torch.arange(len(built)).split(size))
    else:
        examples = iter(built)
        while rows := list(itertools.islice(examples, size)):
            yield default_collate(rows)


def rows_of(batch: Batch, chosen: slice) -> dict[str, Any]:
    """Some rows of every tensor; what is no tensor is left alone."""
    return {name: value[chosen] if isinstance(value, Tensor) else value for name, value in batch.items()}
