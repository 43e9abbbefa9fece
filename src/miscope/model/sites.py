"""The places at which a representation is read: the residual stream and what each part of a block adds to it."""

from collections.abc import Mapping

import numpy as np

from miscope.core import ModelConfig

HOOKS = ("hook_resid_pre", "hook_attn_out", "mlp.hook_post", "hook_mlp_out", "hook_resid_post")


def sites(activations: Mapping[str, np.ndarray], model: ModelConfig) -> dict[str, np.ndarray]:
    """Site -> [batch dim], in the order of the forward pass; a model without an MLP lacks the MLP's.

    Of `hook_resid_pre` there is the first layer's alone: a later one is the `hook_resid_post` of the layer before.
    """
    names = (f"blocks.{i}.{hook}" for i in range(model.n_layers) for hook in HOOKS if not i or hook != HOOKS[0])
    return {name: activations[name] for name in names if name in activations}
