"""The one training loop: updates between evaluations, checkpoints written whole, a record at the end.

A loss at step s is measured with the weights of checkpoint s, train and test alike. The cross-entropy is float64: in
float32 it underflows after memorisation, and generalisation then never completes (Nanda et al. 2023, arXiv:2301.05217).
"""

import csv
import io
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from miscope import store
from miscope.core import Examples, MiscopeError, Variant
from miscope.model.memory import keep_freed_memory
from miscope.model.rows import Rows, distinct_rows
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.loss import cross_entropy


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats (float64) and accuracies with the weights of `step`."""

    step: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float


class Batch:
    """Examples as tensors, with the plan of their distinct rows where that pays."""

    def __init__(self, examples: Examples, positions: tuple[int, ...], n_ctx: int) -> None:
        self.tokens = torch.from_numpy(examples.tokens)
        self.targets = torch.from_numpy(examples.targets).flatten()
        self.positions = positions
        self.rows: Rows | None = distinct_rows(self.tokens, torch.tensor(positions), n_ctx)

    def logits(self, model: Transformer) -> Tensor:
        """[batch * read, vocab]"""
        out = model(self.tokens, positions=self.positions) if self.rows is None else model.of_rows(self.rows)
        return out.flatten(0, 1)

    def loss(self, model: Transformer) -> Tensor:
        return cross_entropy(self.logits(model), self.targets)

    @torch.no_grad()
    def loss_and_accuracy(self, model: Transformer) -> tuple[float, float]:
        logits = self.logits(model)
        is_right = logits.argmax(dim=-1) == self.targets
        return cross_entropy(logits, self.targets).item(), is_right.double().mean().item()


def train(
    variant: Variant, folder: store.Folder, on_evaluation: Callable[[Evaluation], None] = lambda _: None
) -> dict[str, Any]:
    """Train the variant and write checkpoints, curves, metrics and the record; what comes back is the record.

    Raises:
        MiscopeError: the loss is not finite at some step: it names the step; what was written before stays whole.
    """
    keep_freed_memory()
    store.sweep(folder.path / "checkpoints", keep=set())
    started, curve = time.perf_counter(), []
    for evaluation, model in evaluations(variant):
        _check_finite(evaluation, variant)
        curve.append(evaluation)
        if evaluation.step in variant.checkpoint_steps:
            store.save_checkpoint(folder.checkpoint(evaluation.step), evaluation.step, variant.model, weights(model))
        on_evaluation(evaluation)
    record = _record(variant, curve, model, time.perf_counter() - started)
    store.write(folder.curves, _csv(curve))
    store.write(folder.metrics, store.pretty_json(record["metrics"]))
    store.write(folder.record, store.pretty_json(record))
    return record


def evaluations(variant: Variant) -> Iterator[tuple[Evaluation, Transformer]]:
    """Train, pausing with the model at every step that is evaluated: each `eval_every`, each checkpoint, the last."""
    recipe, model = variant.recipe, Transformer(variant.model, variant.seed)
    split = variant.family.split(variant.data_seed)
    train, test = (Batch(part, variant.family.positions(), variant.model.n_ctx) for part in (split.train, split.test))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=recipe.betas, fused=True
    )
    wanted = set(range(0, recipe.steps + 1, recipe.eval_every)) | {recipe.steps} | set(variant.checkpoint_steps)
    for step in range(recipe.steps + 1):
        if step in wanted:
            yield _evaluation(step, model, train, test), model
        if step < recipe.steps:
            optimizer.zero_grad(set_to_none=True)
            train.loss(model).backward()
            optimizer.step()


def _evaluation(step: int, model: Transformer, train: Batch, test: Batch) -> Evaluation:
    (train_loss, train_accuracy), (test_loss, test_accuracy) = (part.loss_and_accuracy(model) for part in (train, test))
    return Evaluation(step, train_loss, test_loss, train_accuracy, test_accuracy)


def _check_finite(evaluation: Evaluation, variant: Variant) -> None:
    if not math.isfinite(evaluation.train_loss):
        raise MiscopeError(
            f"The train loss of `{variant.name}` is {evaluation.train_loss} at step {evaluation.step}; "
            f"lower variants.{variant.name}.learning_rate ({variant.recipe.learning_rate:g}) and run `dvc repro` again."
        )


def _record(variant: Variant, curve: list[Evaluation], model: Transformer, seconds: float) -> dict[str, Any]:
    """What was trained, on what, at what cost, how it ended. FLOPs are 6 N D, N without embeddings and positions."""
    n_examples = len(variant.family.split(variant.data_seed).train)
    n_params = sum(p.numel() for p in model.parameters())
    tokens = variant.recipe.steps * n_examples * variant.model.n_ctx
    return {
        "variant": variant.name,
        "label": variant.label,
        "family": variant.family_name,
        "settings": asdict(variant.family),
        "seeds": {"seed": variant.seed, "data_seed": variant.data_seed},
        "model": asdict(variant.model),
        "recipe": asdict(variant.recipe),
        "device": {"name": "cpu", "threads": torch.get_num_threads(), "machine": platform.machine()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "miscope": version("miscope"),
        },
        "checkpoints": len(variant.checkpoint_steps),
        "parameters": n_params,
        "tokens": tokens,
        "flops_6nd": 6 * (n_params - model.W_E.numel() - model.W_pos.numel()) * tokens,
        "metrics": _metrics(variant, curve, seconds),
    }


def _metrics(variant: Variant, curve: list[Evaluation], seconds: float) -> dict[str, Any]:
    """The last losses and accuracies; `solved_step`, from where test accuracy stays solved, is absent if never."""
    last = {name: value for name, value in asdict(curve[-1]).items() if name != "step"}
    unsolved = [i for i, e in enumerate(curve) if not e.test_accuracy >= variant.family.solved_accuracy]
    first = unsolved[-1] + 1 if unsolved else 0
    solved = {"solved_step": curve[first].step} if first < len(curve) else {}
    return last | solved | {"steps": variant.recipe.steps, "seconds": round(seconds, 2)}


def _csv(curve: list[Evaluation]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(asdict(curve[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(evaluation) for evaluation in curve)
    return text.getvalue()
