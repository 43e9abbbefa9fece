"""A small convolutional network; it takes `pixel_values` [batch channel row column] and gives a logit per class."""

import math
from collections.abc import Sequence
from typing import Any

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
        return [_widths(target, n_classes, n_colours) for target in targets]


def _widths(target: float, n_classes: int, n_colours: int) -> dict[str, Any]:
    channels = max(1, round(math.sqrt(target / 18)) - 1)
    rest = target - (9 * n_colours + 1) * channels - n_classes
    return {"channels": channels, "wide": max(1, round(rest / (9 * channels + 1 + n_classes)))}
