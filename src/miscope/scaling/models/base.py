"""What most models share with one another, and any `nn.Module` as a model; a plugin may do without."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from miscope.core import MiscopeError
from miscope.scaling.protocols import Batch


class ScalableModule(nn.Module):
    """Counts its parameters and asks for AdamW; a subclass adds its layers and a forward that takes a batch."""

    def embeddings(self) -> Iterable[nn.Parameter]:
        """Parameters that are looked up and not multiplied with: those of every `nn.Embedding`."""
        return (p for module in self.modules() if isinstance(module, nn.Embedding) for p in module.parameters())

    def num_params(self, non_embedding: bool = True) -> int:
        """Parameters; without token and position embeddings, or all. The unembedding counts either way."""
        left_out = {id(p) for p in self.embeddings()} if non_embedding else set()
        return sum(p.numel() for p in self.parameters() if id(p) not in left_out)

    def configure_optimizers(
        self, learning_rate: float, weight_decay: float, betas: tuple[float, float]
    ) -> torch.optim.Optimizer:
        """AdamW; matrices decay, vectors (norms, biases) do not.

        Source: Loshchilov and Hutter 2019, arXiv:1711.05101; which parameters decay: Brown et al. 2020,
        arXiv:2005.14165, appendix B, as it is commonly read.
        """
        matrices = [p for p in self.parameters() if p.requires_grad and p.ndim >= 2]
        vectors = [p for p in self.parameters() if p.requires_grad and p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=betas, fused=True)


class Module(ScalableModule):
    """Of `model`, a module that Hydra makes from a `_target_` of its own: `forward(input_ids, attention_mask)`, say.

    Every argument of its forward that the batch has is passed, but for `labels`; of an output, its `logits`, if any.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise MiscopeError(f"`model` is {type(model).__name__}, no torch.nn.Module; give it a `_target_`.")
        self.model = model
        self._takes = frozenset(inspect.signature(model.forward).parameters) - {"labels"}

    def forward(self, batch: Batch) -> Any:
        """What the module gives, its logits if it names them."""
        output = self.model(**{name: value for name, value in batch.items() if name in self._takes})
        return getattr(output, "logits", output)
