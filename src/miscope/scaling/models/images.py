"""Small networks for images; they take `pixel_values` [batch channel row column] and give a logit per class.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929 (the vision transformer); the mean over patches instead of a class
token: Beyer et al. 2022, arXiv:2205.01580.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from miscope.scaling.models.base import ScalableModule
from miscope.scaling.protocols import Batch


class CNN(ScalableModule):
    """Two 3 x 3 convolutions, the second wider and at half the resolution, then the mean over pixels."""

    def __init__(self, channels: int, n_classes: int, n_colours: int = 1, wide: int = 0) -> None:
        super().__init__()
        wide = wide or 2 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(n_colours, channels, 3, padding=1), nn.GELU(),
            nn.Conv2d(channels, wide, 3, stride=2, padding=1), nn.GELU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, n_classes),
        )  # fmt: skip

    def forward(self, batch: Batch) -> Tensor:
        """Logits, [batch class]."""
        logits: Tensor = self.layers(batch["pixel_values"])
        return logits

    @classmethod
    def size_configs(
        cls, targets: Sequence[float], n_classes: int, n_colours: int = 1, **settings: Any
    ) -> list[dict[str, Any]]:
        """Channels near those of 18 c^2 = target; the second convolution's make up the difference."""
        sizes = []
        for target in targets:
            channels = max(1, round(math.sqrt(target / 18)) - 1)
            rest = target - (9 * n_colours + 1) * channels - n_classes
            sizes.append({"channels": channels, "wide": max(1, round(rest / (9 * channels + 1 + n_classes)))})
        return sizes


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
        sizes = []
        for target in targets:
            d = n_heads * max(1, round(math.sqrt(target / (12 * n_layers)) / n_heads))
            patches = (patch_size**2 * n_colours + 3 + n_classes) * d
            rest = target - n_layers * (4 * d**2 + 9 * d) - patches - n_classes
            sizes.append({"d_model": d, "d_mlp": max(1, round(rest / (n_layers * (2 * d + 1))))})
        return sizes
