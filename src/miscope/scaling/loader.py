"""Batches by step, from whatever form a dataset comes in, so that a resumed run sees what it would have seen."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from miscope.core import MiscopeError
from miscope.model.initialisation import own_generator
from miscope.scaling.protocols import Batch


@runtime_checkable
class Source(Protocol):
    """Batches that seed and step decide."""

    def batch(self, seed: int, step: int, size: int) -> Batch: ...


def source(built: Any) -> Source:
    """Any of the three forms as batches by step."""
    if isinstance(built, Source):
        return built
    is_counted = hasattr(built, "__len__") and hasattr(built, "__getitem__")
    if is_counted and not isinstance(built, IterableDataset):
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
        return _taken(self._examples, torch.cat(rows))

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
        return _collated(rows)


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


def rows_of(batch: Batch, chosen: slice) -> dict[str, Any]:
    """Some rows of every tensor; what is no tensor is left alone."""
    return {name: value[chosen] if isinstance(value, Tensor) else value for name, value in batch.items()}


def _in_order(built: Any, size: int) -> Iterator[Batch]:
    if isinstance(built, Source):
        yield from (built.batch(0, step, size) for step in itertools.count())
    elif isinstance(source(built), Shuffled):
        starts = range(0, len(built), size)
        yield from (_taken(built, torch.arange(start, min(start + size, len(built)))) for start in starts)
    else:
        examples = iter(built)
        while rows := list(itertools.islice(examples, size)):
            yield _collated(rows)


def _taken(examples: Any, rows: Tensor) -> Batch:
    """The batch of these examples of a split that has a length."""
    if hasattr(examples, "take"):
        chosen: Batch = examples.take(rows)
        return chosen
    return _collated([examples[i] for i in rows.tolist()])


def _collated(rows: list[Any]) -> Batch:
    batch: Batch = default_collate(rows)
    return batch
