"""The multilayer perceptron of a block: in, activation, out; or gated, where neurons are products of two readings.

Source: of the gate, Shazeer 2020, arXiv:2002.05202, equation 6.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from miscope.core import ModelConfig
from miscope.model.hooks import Hook, untouched
from miscope.model.linear import Linear, outputs
from miscope.model.mix import relu_in_place


def gelu_in_place(x: Tensor) -> Tensor:
    """GELU, overwriting x where no gradient will ask for it."""
    return F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}
IN_PLACE = ACTIVATIONS | {"relu": relu_in_place, "gelu": gelu_in_place}  # where nobody looks at what comes before


class MLP(nn.Module):
    """`d_mlp` neurons between two linear maps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc_in = Linear(config.d_model, config.d_mlp, has_bias=config.has_biases)
        self.fc_gate = Linear(config.d_model, config.d_mlp, has_bias=config.has_biases) if config.gated_mlp else None
        self.fc_out = Linear(config.d_mlp, config.d_model, has_bias=config.has_biases)
        self.act_fn = config.act_fn

    def forward(self, x: Float[Tensor, "... d_model"], hook: Hook = untouched) -> Float[Tensor, "... d_model"]:
        if self.fc_gate is not None:
            pre, linear = outputs(x, self.fc_gate, self.fc_in)
            gate = ACTIVATIONS[self.act_fn](hook("hook_pre", pre))
            return self.fc_out(hook("hook_post", gate * hook("hook_pre_linear", linear)))
        pre = hook("hook_pre", self.fc_in(x))
        act = (IN_PLACE if hook is untouched else ACTIVATIONS)[self.act_fn]
        return self.fc_out(hook("hook_post", act(pre)))
