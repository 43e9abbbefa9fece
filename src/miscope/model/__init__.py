"""The model core: a decoder-only transformer whose every activation passes a hook under TransformerLens' names.

MultiHeadAttention(config), MLP(config), LayerNorm(d_model), TransformerBlock(config) and Transformer(config) are each
made alone from a `ModelConfig` and a `seed`, 0 by default, and called with their input alone; the same seed gives the
same weights, and the global generator is left as it was.

`attention`, `layers` and `transformer` are the network, `rows` what it computes once for inputs that repeat. `weights`
gives checkpoints and takes them. `inspection` (activations on a probe) and `differentiation` (losses, gradients,
products with the Hessian) are what instruments see of it.
"""

from typing import TYPE_CHECKING

from miscope.doors import door

if TYPE_CHECKING:  # what needs no torch is imported without it
    from miscope.model.attention import MultiHeadAttention
    from miscope.model.layers import MLP, Hook, LayerNorm, Linear
    from miscope.model.transformer import Transformer, TransformerBlock
    from miscope.model.weights import load_weights

__all__ = [
    "MLP", "Hook", "LayerNorm", "Linear", "MultiHeadAttention", "Transformer", "TransformerBlock", "load_weights",
]  # fmt: skip
__getattr__ = door(__name__, ("transformer", "layers", "weights"), __all__)
