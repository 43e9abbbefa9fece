"""A small vision transformer; it takes `pixel_values` [batch channel row column] and gives a logit per class.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929; the mean over patches instead of a class token: Beyer et al. 2022,
arXiv:2205.01580.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from miscope.scaling.models.base import ScalableModule
from miscope.scaling.protocols import Batch


class ViT(ScalableModule):
    """Patches, learned positions, torch's own pre-norm encoder, the mean over patches, a linear map.

    `d_mlp` 0: four times `d_model`.
    """

    def __init__(
        self, d_model: int, image_size: int, patch_size: int, n_classes: int, n_layers: int = 2, n_heads: int = 2,
        n_colours: int = 1, d_mlp: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patches = nn.Conv2d(n_colours, d_model, patch_size, stride=patch_size)
        self.positions = nn.Parameter(0.02 * torch.randn((image_size // patch_size) ** 2, d_model))
        layer = nn.TransformerEncoderLayer(
            d_model, n_heads, d_mlp or 4 * d_model, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, n_layers, nn.LayerNorm(d_model), enable_nested_tensor=False)
        self.head = nn.Linear(d_model, n_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits, [batch class]."""
        patches = self.patches(batch["pixel_values"]).flatten(2).mT
        logits: Tensor = self.head(self.encoder(patches + self.positions).mean(dim=1))
        return logits

    def embeddings(self) -> Iterable[nn.Parameter]:
        return (self.positions,)

    @classmethod
    def size_configs(
        cls, targets: Sequence[float], n_classes: int, patch_size: int, n_colours: int = 1, n_layers: int = 2,
        n_heads: int = 2, **settings: Any,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Widths near those of 12 n_layers d^2 = target; the neurons make up the difference."""
        fixed = (patch_size**2 * n_colours, n_classes, n_layers, n_heads)
        return [_widths(target, *fixed) for target in targets]


def _widths(target: float, pixels: int, n_classes: int, n_layers: int, n_heads: int) -> dict[str, Any]:
    d = n_heads * max(1, round(math.sqrt(target / (12 * n_layers)) / n_heads))
    rest = target - n_layers * (4 * d**2 + 9 * d) - (pixels + 3 + n_classes) * d - n_classes
    return {"d_model": d, "d_mlp": max(1, round(rest / (n_layers * (2 * d + 1))))}
