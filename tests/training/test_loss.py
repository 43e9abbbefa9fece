"""The loss: float64, and no gradient that float32 holds only as a denormal."""

import math

import pytest
import torch
import torch.nn.functional as F

from miscope.training.loss import cross_entropy


def test_a_loss_far_below_the_last_bit_of_float32_is_still_measured() -> None:
    logits = torch.tensor([[30.0, 0.0]])
    assert cross_entropy(logits, torch.tensor([0])).item() == pytest.approx(math.log1p(math.exp(-30)), rel=1e-2)
    assert F.cross_entropy(logits, torch.tensor([0])).item() == 0.0


def test_the_gradient_is_cross_entropys() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(50) % 7
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    cross_entropy(ours, targets).backward()
    F.cross_entropy(theirs.double(), targets).backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


def test_no_gradient_is_denormal() -> None:
    logits = torch.tensor([[0.0, -50.0, -90.0, -100.0]], requires_grad=True)
    cross_entropy(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == pytest.approx(math.exp(-50), rel=1e-6)
    assert logits.grad[0, 2:].tolist() == [0.0, 0.0]
