"""Which examples an update sees. Every batch is decided by seed and step alone, so that a resumed run needs no more."""

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from miscope.core import Examples, Family, MiscopeError, ModelConfig, Recipe
from miscope.keys import digest_of_arrays
from miscope.model.initialisation import own_generator
from miscope.model.rows import unique_rows
from miscope.model.transformer import Transformer, check_tokens
from miscope.training.device import Device
from miscope.training.optimization import cross_entropy


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
    return digest_of_arrays(arrays | {"positions": np.array(family.positions())})


class Batch:
    """Examples as tensors on a device, with the plan of their distinct rows where that pays."""

    def __init__(self, examples: Examples, family: Family, shape: ModelConfig, device: Device) -> None:
        tokens = torch.from_numpy(examples.tokens)
        check_tokens(tokens, shape)
        self.tokens, self._device, self._family = tokens.to(device.torch), device, family
        asked = examples.targets.flatten() >= 0
        self.targets = torch.from_numpy(examples.targets.flatten()[asked]).to(device.torch)
        self._asked = None if asked.all() else torch.from_numpy(asked.nonzero()[0]).to(device.torch)
        self._allowed: Tensor | None = None
        if examples.allowed is not None:
            self._allowed = torch.from_numpy(examples.allowed.reshape(len(asked), -1)[asked]).to(device.torch)
        self.query_positions = torch.tensor(family.positions(), device=device.torch)
        # not on a GPU: cuSPARSE, which sums the gradients of the rows, promises no order of its sums
        is_on_cpu = device.torch.type == "cpu"
        self.rows = unique_rows(self.tokens, self.query_positions, shape.n_ctx) if is_on_cpu else None

    def logits(self, model: Transformer) -> Tensor:
        """[answer, vocab], wherever the examples ask for one."""
        return self.of_asked(self.all_logits(model).flatten(0, 1))

    def all_logits(self, model: Transformer) -> Tensor:
        """[batch, query, vocab], at the positions that the loss reads."""
        rows = self.rows
        return model.logits_at(self.tokens, self.query_positions) if rows is None else model.forward_unique(rows)

    def of_asked(self, logits: Tensor) -> Tensor:
        """Of the logits at all positions read, [batch * query, vocab], those where the examples ask for an answer."""
        return logits if self._asked is None else logits.index_select(0, self._asked)

    def as_mapping(self) -> Mapping[str, Tensor]:
        """What a family's own loss is handed: `tokens` [batch pos], `targets` [answer], `allowed` [answer vocab]."""
        allowed = {} if self._allowed is None else {"allowed": self._allowed}
        return {"tokens": self.tokens, "targets": self.targets, **allowed}

    def share_of_loss(self, model: Transformer, n_answers: int) -> Tensor:
        """What this batch adds to the mean loss over `n_answers`, in nats, to differentiate."""
        with self._device.autocast():
            logits = self.logits(model)
        if type(self._family).loss is Family.loss:
            return cross_entropy(logits, self.targets, scale=1 / n_answers)
        return self._family.loss(logits.float(), self.as_mapping()) * (len(self.targets) / n_answers)

    @torch.no_grad()
    def loss_and_accuracy(self, model: Transformer) -> tuple[float, float]:
        """Mean cross-entropy and accuracy over the examples of all processes."""
        with self._device.autocast():
            logits = self.logits(model)
        said, allowed = logits.argmax(dim=-1), self._allowed
        n_right = (said == self.targets if allowed is None else allowed.gather(1, said[:, None])).double().sum()
        loss = F.cross_entropy(logits.double(), self.targets, reduction="sum")
        total = self._device.sum(torch.stack([loss, n_right, torch.full_like(loss, len(self.targets))])).tolist()
        return total[0] / total[2], total[1] / total[2]


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
        size, train = self.recipe.batch_size, self.split.train
        if self._is_stream:
            examples = self.family.stream(self.data_seed, step, size)
            assert examples is not None, "a stream does not end"
        elif 0 < size < len(train):
            epoch, batch = divmod(step, len(train) // size)
            examples = train.take(self._order(epoch)[batch * size :][:size])
        else:
            return self._whole, train.n_answers  # it lies on the device already
        return self._micro(examples), examples.n_answers

    @torch.no_grad()
    def logits_of(self, examples: Examples, model: Transformer) -> np.ndarray:
        """Logits [batch query vocab], for a family's own metrics."""
        with self.device.autocast():
            return self._batch(examples).all_logits(model).float().cpu().numpy()

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
