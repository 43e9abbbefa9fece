"""Cross-entropy whose loss and gradient keep their relative precision however small they get.

In plain float32 both underflow after memorisation: 1 - p of the right answer is 0 long before training ends, and
generalisation then never completes (Nanda et al. 2023, arXiv:2301.05217). Here neither is formed as such a difference:
the loss is log1p(sum of the others / right answer), and the right answer's gradient is minus the sum of the others'. It
is as exact as float64 to float32's last bits, at a fifth of its time.

Below 1e-30 a probability counts as 1e-30: gradients become no denormal numbers, on which matmuls crawl. At p = 113 a
step took 30 ms at step 0, 66 ms at step 6,200, and 30 ms again without them. 1e-30 is far under the last bit of any sum
that such a gradient enters (others are about 1e-10).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

FAR = 69.0  # nats; exp(-69) is about 1e-30


def cross_entropy(logits: Tensor, targets: Tensor, scale: float | Tensor) -> Tensor:
    """The sum over rows of scale x -log softmax(logits)[target] in nats, a float64 number to differentiate once.

    `scale` is a number, or [row 1].
    """
    return _CrossEntropy.apply(logits.float(), targets, scale)


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, scale: float | Tensor) -> Tensor:
        column = targets[:, None]
        largest = logits.amax(dim=-1, keepdim=True)
        others = (logits - largest).clamp_(min=-FAR).exp_()
        right = others.gather(1, column)
        others.scatter_(1, column, 0.0)
        wrong = others.sum(dim=-1, keepdim=True)
        below = (largest - logits.gather(1, column)).double()  # nats that the right answer lies under the largest
        loss = torch.where(below < FAR, torch.log1p(wrong.double() / right), below + wrong.double().log())
        others.mul_(scale / (wrong + right))
        ctx.save_for_backward(others.scatter_(1, column, -scale * wrong / (wrong + right)))
        return (scale * loss).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (of_logits,) = ctx.saved_tensors
        return of_logits.mul_(gradients[0].float()), None, None
