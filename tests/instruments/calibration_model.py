"""A reference run of the calibration recipe, where ../shared lies beside the repository; its tests skip elsewhere."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from miscope.core import Checkpoint, Context
from miscope.families.modulo_addition import ModuloAddition

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "calibration_rerun"
STEPS = (200, 1500, 5000, 10000, 13000, 15000, 16000, 16900)
HOOKS = {"E": "embed", "pos": "pos_embed", "U": "unembed", "in": "blocks.0.mlp", "out": "blocks.0.mlp"}


@cache
def context() -> Context:
    return ModuloAddition(modulus=113, train_fraction=0.3).context(data_seed=598)


def weights_only(step: int) -> Checkpoint:
    if not FOLDER.is_dir():
        pytest.skip(f"the reference checkpoints are not at {FOLDER}")
    weights = load_file(FOLDER / f"{step:06d}.safetensors")
    named = {f"{HOOKS.get(name[2:], 'blocks.0.attn')}.{name}": value for name, value in weights.items()}
    return Checkpoint(step, ModuloAddition().model(), named)


@cache
def checkpoint(step: int) -> Checkpoint:
    """With the activations that the instruments ask for, by plain numpy; the pattern at the answer position only."""
    last = weights_only(step)
    w = {name.rpartition(".")[2]: value for name, value in last.weights.items()}
    tokens = context().probe.tokens
    x = w["W_E"][None] + w["W_pos"][:, None]  # [pos vocab d_model]: all that the layer can meet
    query = np.einsum("d,hdk->hk", x[2, -1], w["W_Q"])
    scores = np.einsum("pvd,hdk,hk->pvh", x, w["W_K"], query, optimize=True) / np.float32(np.sqrt(query.shape[1]))
    moved = np.einsum("pvd,hdk,hkm->pvhm", x, w["W_V"], w["W_O"], optimize=True)
    weights = np.exp(np.stack([scores[p, tokens[:, p]] for p in range(3)], axis=-1))  # [batch head pos]
    pattern = weights / weights.sum(axis=-1, keepdims=True)
    residual = x[2, -1] + sum(
        pattern[:, h, p, None] * moved[p, tokens[:, p], h] for p in range(3) for h in range(len(query))
    )
    post = np.maximum(residual @ w["W_in"], 0)
    logits = (residual + post @ w["W_out"]) @ w["W_U"]
    activations = {"blocks.0.mlp.hook_post": post, "blocks.0.attn.hook_pattern": pattern, "logits": logits}
    return Checkpoint(step, last.model, last.weights, {n: a.astype(np.float32) for n, a in activations.items()})
