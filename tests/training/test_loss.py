"""The loss: relative precision however small it is, and no gradient that float32 holds only as a denormal."""

import math

import pytest
import torch
import torch.nn.functional as F

from miscope.training.optimization import cross_entropy


def test_a_loss_far_below_the_last_bit_of_float32_is_still_measured() -> None:
    logits = torch.tensor([[30.0, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]), scale=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(math.exp(-30), rel=1e-6)
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([-math.exp(-30), math.exp(-30)], rel=1e-6)
    assert F.cross_entropy(logits, torch.tensor([0])).item() == 0.0


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0, 60.0])
def test_loss_and_gradient_are_float64s_to_the_last_bits_of_float32(spread: float) -> None:
    logits = spread * torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(50) % 7
    ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    actual, expected = cross_entropy(ours, targets, scale=1 / 50), F.cross_entropy(theirs, targets)
    actual.backward()
    expected.backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert actual.item() == pytest.approx(expected.item(), rel=1e-6)
    exact = F.log_softmax(theirs.detach(), dim=-1).exp()
    is_right = F.one_hot(targets, 7).bool()
    exact[is_right] = -exact.masked_fill(is_right, 0.0).sum(dim=-1)  # float64, too, loses digits in p - 1
    torch.testing.assert_close(ours.grad.double(), exact / 50, rtol=1e-5, atol=2e-30)


def test_no_gradient_is_denormal() -> None:
    logits = torch.tensor([[0.0, -50.0, -90.0, -100.0]], requires_grad=True)
    cross_entropy(logits, torch.tensor([0]), scale=1.0).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == pytest.approx(math.exp(-50), rel=1e-6)
    assert logits.grad[0, 2:].tolist() == pytest.approx([1e-30, 1e-30], rel=0.1)


def test_a_right_answer_far_under_the_largest_logit_has_its_whole_loss() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1]), scale=0.5)
    loss.backward()
    assert loss.item() == 100.0
    assert logits.grad is not None
    assert logits.grad[0].tolist() == [0.5, -0.5]
