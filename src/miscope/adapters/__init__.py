"""One interface over architectures: our own transformer, Hugging Face's, and TransformerLens' view of it."""

import logging

# transformers imports torchao where it finds it, which then tells of every kernel that this machine has not
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
