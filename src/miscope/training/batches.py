"""Which examples an update sees. Every batch is decided by seed and step alone, so that a resumed run needs no more."""

from dataclasses import fields
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from miscope import keys
from miscope.core import Examples, Family, MiscopeError, ModelConfig, Recipe
from miscope.model.initialisation import own_generator
from miscope.model.rows import UniqueRows, unique_rows
from miscope.model.transformer import Transformer, check_tokens
from miscope.training.device import Device
from miscope.training.loss import cross_entropy


def data_digest(family: Family, data_seed: int) -> str:
    """The digest of the examples themselves: code that draws other data makes another training."""
    split, stream = family.split(data_seed), family.stream(data_seed, 0, 1)
    parts = {"train": split.train, "test": split.test} | ({"stream": stream} if stream else {})
    arrays = {
        f"{name} {f.name}": value
        for name, part in parts.items()
        for f in fields(part)
        if (value := getattr(part, f.name)) is not None
    }
    return keys.digest_of_arrays(arrays | {"positions": np.array(family.positions())})


class Batch:
    """Examples as tensors on a device, with the plan of their distinct rows where that pays."""

    def __init__(self, examples: Examples, family: Family, shape: ModelConfig, device: Device) -> None:
        tokens = torch.from_numpy(examples.tokens)
        check_tokens(tokens, shape)
        self.tokens = tokens.to(device.torch)
        asked = examples.targets.flatten() >= 0
        self.targets = torch.from_numpy(examples.targets.flatten()[asked]).to(device.torch)
        self._asked = None if asked.all() else torch.from_numpy(asked.nonzero()[0]).to(device.torch)
        self._allowed = None if examples.allowed is None else _of_asked(examples.allowed, asked).to(device.torch)
        self.read = torch.tensor(family.positions(), device=device.torch)
        # not on a GPU: cuSPARSE, which sums the gradients of the rows, promises no order of its sums
        is_on_cpu = device.torch.type == "cpu"
        self.rows: UniqueRows | None = unique_rows(self.tokens, self.read, shape.n_ctx) if is_on_cpu else None

    def logits(self, model: Transformer) -> Tensor:
        """[answer, vocab], wherever the examples ask for one."""
        out = model.logits_at(self.tokens, self.read) if self.rows is None else model.forward_unique(self.rows)
        return self.of_asked(out.flatten(0, 1))

    def of_asked(self, logits: Tensor) -> Tensor:
        """Of the logits at all positions read, [batch * read, vocab], those where the examples ask for an answer."""
        return logits if self._asked is None else logits.index_select(0, self._asked)

    def share_of_loss(self, model: Transformer, device: Device, n_answers: int) -> Tensor:
        """What this batch adds to the mean cross-entropy over `n_answers`, in nats, to differentiate."""
        with device.autocast():
            logits = self.logits(model)
        return cross_entropy(logits, self.targets, scale=1 / n_answers)

    @torch.no_grad()
    def loss_and_accuracy(self, model: Transformer, device: Device) -> tuple[float, float]:
        """Means over the examples of all processes."""
        with device.autocast():
            logits = self.logits(model)
        is_right = self._is_right(logits.argmax(dim=-1)).double().sum()
        loss = F.cross_entropy(logits.double(), self.targets, reduction="sum")
        total = device.sum(torch.stack([loss, is_right, torch.full_like(loss, len(self.targets))])).tolist()
        return total[0] / total[2], total[1] / total[2]

    def _is_right(self, answers: Tensor) -> Tensor:
        return answers == self.targets if self._allowed is None else self._allowed.gather(1, answers[:, None])[:, 0]


def _of_asked(allowed: np.ndarray, asked: np.ndarray) -> Tensor:
    return torch.from_numpy(allowed.reshape(len(asked), -1)[asked])


class Batches:
    """The batches of one stretch of training with one task, data seed and recipe."""

    def __init__(self, family: Family, data_seed: int, recipe: Recipe, shape: ModelConfig, device: Device) -> None:
        self.family, self.data_seed, self.recipe = family, data_seed, recipe
        self.shape, self.device = shape, device
        self.split = family.split(data_seed)
        self.train, self.test = (self._batch(device.share(part)) for part in (self.split.train, self.split.test))
        self._whole = self._micro(self.split.train)
        self._is_stream = family.stream(data_seed, 0, max(recipe.batch_size, 1)) is not None
        if self._is_stream and not recipe.batch_size:
            raise MiscopeError("The task streams fresh examples: set `batch_size` to at least 1.")

    def at(self, step: int) -> tuple[list[Batch], int]:
        """The micro-batches of this process for the update from `step`, and the answers in all of them, everywhere."""
        examples = self._examples(step)
        if examples is None:
            return self._whole, self.split.train.n_answers
        return self._micro(examples), examples.n_answers

    def _examples(self, step: int) -> Examples | None:
        """None means the whole training set, which lies on the device already."""
        size = self.recipe.batch_size
        if self._is_stream:
            return self.family.stream(self.data_seed, step, size)
        n = len(self.split.train)
        if not 0 < size < n:
            return None
        per_epoch = n // size
        chosen = self._order(step // per_epoch)[(step % per_epoch) * size :][:size]
        return self.split.train.take(chosen)

    @lru_cache(maxsize=2)  # noqa: B019  one object a run
    def _order(self, epoch: int) -> np.ndarray:
        generator = own_generator(self.data_seed, f"epoch {epoch}")
        return torch.randperm(len(self.split.train), generator=generator).numpy()

    def _micro(self, examples: Examples) -> list[Batch]:
        share = self.device.share(examples)
        parts = max(1, min(self.recipe.accumulate, len(share)))
        return [self._batch(share.take(slice(i, None, parts))) for i in range(parts)]

    def _batch(self, examples: Examples) -> Batch:
        return Batch(examples, self.family, self.shape, self.device)
