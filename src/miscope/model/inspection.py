"""One forward pass over the probe, keeping the activations that an instrument asked for."""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from miscope.core import Checkpoint, Context, ModelConfig
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights

QUERY_AXIS = {"hook_attn_scores": 2, "hook_pattern": 2}  # [batch head query key]; elsewhere positions are axis 1


def activations(
    checkpoint: Checkpoint, context: Context, hooks: tuple[str, ...], positions: Literal["answer", "all"]
) -> dict[str, np.ndarray]:
    """The named activations of every layer on the probe, and `logits` if asked for; float32 on the CPU.

    `positions="answer"` computes and keeps the answer position alone and drops its axis.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, x: Tensor) -> Tensor:
        if any(name == hook or name.endswith(f".{hook}") for hook in hooks):
            kept[name] = x
        return x

    model = _model(checkpoint)
    read = (context.answer_position,) if positions == "answer" else None
    with torch.inference_mode():
        kept["logits"] = model(torch.from_numpy(context.probe.tokens), positions=read, tap=keep)
    if "logits" not in hooks:
        del kept["logits"]
    if positions == "answer":
        kept = {
            name: _at(x, QUERY_AXIS.get(name.rpartition(".")[2], 1), context.answer_position)
            for name, x in kept.items()
        }
    return {name: x.contiguous().numpy() for name, x in kept.items()}


def _at(x: Tensor, axis: int, position: int) -> Tensor:
    return x.select(axis, 0 if x.shape[axis] == 1 else position)


def _model(checkpoint: Checkpoint) -> Transformer:
    return load_weights(_skeleton(checkpoint.model), checkpoint.weights)


@lru_cache(maxsize=4)
def _skeleton(config: ModelConfig) -> Transformer:
    return Transformer(config).requires_grad_(False)
