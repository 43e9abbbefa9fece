"""The multilayer perceptron of a block: in, activation, out."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from miscope.core import ModelConfig
from miscope.model.linear import Linear
from miscope.model.mix import relu_in_place
from miscope.model.tap import Tap, untouched

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
IN_PLACE = ACTIVATIONS | {"relu": relu_in_place}  # where nobody looks at what comes before: a third of the time


class MLP(nn.Module):
    """`d_mlp` neurons between two linear maps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc_in = Linear(config.d_model, config.d_mlp, has_bias=config.has_biases)
        self.fc_out = Linear(config.d_mlp, config.d_model, has_bias=config.has_biases)
        self.act_fn = config.act_fn

    def forward(self, x: Float[Tensor, "... d_model"], tap: Tap = untouched) -> Float[Tensor, "... d_model"]:
        pre = tap("hook_pre", self.fc_in(x))
        act = (IN_PLACE if tap is untouched else ACTIVATIONS)[self.act_fn]
        return self.fc_out(tap("hook_post", act(pre)))
