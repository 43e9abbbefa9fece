"""What most models share with one another; a plugin may do without."""

from collections.abc import Iterable

import torch
from torch import nn


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


def drawn_seed() -> int:
    """A seed from torch's own generator, which the run has seeded: the first weights follow from the run's seed."""
    return int(torch.randint(2**31, ()).item())
