"""One forward pass over the probe, keeping the activations that an instrument asked for and ending once it has them."""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from miscope.core import Checkpoint, Context, ModelConfig
from miscope.model.memory import keep_freed_memory
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights

QUERY_AXIS = {"hook_attn_scores": 2, "hook_pattern": 2}  # [batch head query key]; elsewhere positions are axis 1


def activations(
    checkpoint: Checkpoint, context: Context, hooks: tuple[str, ...], positions: Literal["answer", "all"]
) -> dict[str, np.ndarray]:
    """The named activations of every layer on the probe, and `logits` if asked for; float32 on the CPU.

    `positions="answer"` computes and keeps the answer position alone and drops its axis.
    """
    keep_freed_memory()
    model = load_weights(_skeleton(checkpoint.model), checkpoint.weights)
    in_blocks = {f"blocks.{i}.{hook}" for hook in hooks for i in range(checkpoint.model.n_layers) if hook != "logits"}
    wanted = in_blocks | ({"logits"} & set(hooks))
    at = (context.answer_position,) if positions == "answer" else None
    kept = _seen(model, torch.from_numpy(context.probe.tokens), at, wanted)
    if at:
        for name, x in kept.items():
            axis = QUERY_AXIS.get(name.rpartition(".")[2], 1)
            kept[name] = x.select(axis, 0 if x.shape[axis] == 1 else context.answer_position)
    return {name: x.contiguous().numpy() for name, x in kept.items()}


class _SeenAll(Exception):
    """Raised by the hook to end a forward pass that has shown all it was run for."""


def _seen(model: Transformer, tokens: Tensor, at: tuple[int, ...] | None, wanted: set[str]) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def keep(name: str, x: Tensor) -> Tensor:
        if name in wanted:
            kept[name] = x
            if len(kept) == len(wanted):
                raise _SeenAll
        return x

    with torch.inference_mode():
        try:
            logits = model(tokens, query_positions=at, hook=keep)
        except _SeenAll:
            return kept
    return kept | {"logits": logits}


@lru_cache(maxsize=4)
def _skeleton(config: ModelConfig) -> Transformer:
    return Transformer(config, seed=None).requires_grad_(False)
