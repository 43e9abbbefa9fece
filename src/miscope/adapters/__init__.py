"""One interface over architectures: our own transformer, Hugging Face's, and TransformerLens' view of it.

`base` is the interface and the adapters by name, `custom_transformer` and `huggingface` are ours, `settings` reads
Hugging Face's config.json without torch, `generation` writes text, `validation` holds an adapter to its promises,
`transformer_lens` makes a `TransformerBridge` of our model.
"""

import logging
from typing import TYPE_CHECKING

from miscope.doors import door

if TYPE_CHECKING:  # torch, transformers and TransformerLens take seconds to import
    from miscope.adapters.base import BaseAdapter, Tokenizer, adapter_class, load, register, whole_folder
    from miscope.adapters.custom_transformer import CharacterTokenizer, CustomTransformerAdapter
    from miscope.adapters.generation import generate
    from miscope.adapters.huggingface import HuggingFaceAdapter, QwenAdapter
    from miscope.adapters.transformer_lens import bridge, bridge_of
    from miscope.adapters.validation import validate_adapter

__all__ = [
    "BaseAdapter", "CharacterTokenizer", "CustomTransformerAdapter", "HuggingFaceAdapter", "QwenAdapter", "Tokenizer",
    "adapter_class", "bridge", "bridge_of", "generate", "load", "register", "validate_adapter", "whole_folder",
]  # fmt: skip
PARTS = ("base", "custom_transformer", "generation", "validation", "huggingface", "transformer_lens")
__getattr__ = door(__name__, PARTS, __all__)

# transformers imports torchao where it finds it, which then tells of every kernel that this machine has not
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
