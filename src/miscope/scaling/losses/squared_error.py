"""The mean squared difference between output and labels."""

import torch.nn.functional as F
from torch import Tensor

from miscope.scaling.protocols import Batch


class SquaredError:
    """Of an output of the labels' shape, or with one axis of size 1 more."""

    def __call__(self, output: Tensor, batch: Batch) -> Tensor:
        labels = batch["labels"].float()
        return F.mse_loss(output.float().reshape(labels.shape), labels)
