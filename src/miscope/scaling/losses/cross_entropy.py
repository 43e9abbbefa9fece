"""Nats by which the right answer surprises the model, wherever one is asked for."""

import torch.nn.functional as F
from torch import Tensor

from miscope.scaling.protocols import Batch

NOT_ASKED = -100  # a label that asks for nothing, as in torch


class CrossEntropy:
    """The mean over all `labels` of -log softmax(output)[label]; the output is [... class], -100 asks for nothing."""

    def __call__(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output.float().flatten(0, -2), batch["labels"].flatten(), ignore_index=NOT_ASKED)
