"""The three operations with gradients of our own give what torch's give."""

import pytest
import torch
import torch.nn.functional as F

from miscope.model.layers import relu_in_place
from miscope.model.rows import BagPlan, GatherPlan, embedding_bag, gather

SHAPES = [(1, 1, 1, 1), (7, 3, 5, 4), (200, 3, 9, 8), (5, 6, 50, 2)]


@pytest.mark.parametrize(("n_bags", "n_pos", "n_values", "d"), SHAPES)
def test_weighted_sums_and_their_gradients_are_those_of_an_embedding_bag(
    n_bags: int, n_pos: int, n_values: int, d: int
) -> None:
    draw = torch.Generator().manual_seed(0)
    index = torch.randint(0, n_values, (n_bags, n_pos), generator=draw)
    results = []
    for function in (
        lambda v, w: embedding_bag(v, w, BagPlan(index, n_values)),
        lambda v, w: F.embedding_bag(index, v, per_sample_weights=w, mode="sum"),
    ):
        values = torch.randn(n_values, d, generator=torch.Generator().manual_seed(1)).requires_grad_()
        weights = torch.randn(n_bags, n_pos, generator=torch.Generator().manual_seed(2)).requires_grad_()
        out = function(values, weights)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        results.append((out.detach(), values.grad, weights.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_weighted_sums_by_hand() -> None:
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    plan = BagPlan(torch.tensor([[0, 2], [1, 1]]), 3)
    out = embedding_bag(values, torch.tensor([[0.5, 1.0], [2.0, -1.0]]), plan)
    assert out.tolist() == [[3.5, 35.0], [2.0, 20.0]]


def test_a_look_up_and_its_gradient_are_those_of_an_index() -> None:
    value = torch.randint(0, 9, (40,), generator=torch.Generator().manual_seed(0))
    results = []
    for function in (lambda t: gather(t, GatherPlan(value, 9)), lambda t: t[:, value]):
        table = torch.linspace(-1, 1, 36).view(4, 9).requires_grad_()
        out = function(table)
        (out * torch.linspace(0, 1, out.numel()).view_as(out)).sum().backward()
        results.append((out.detach(), table.grad))
    (ours, gradient), (theirs, expected) = results
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


def test_relu_in_place_has_relus_value_and_gradient() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    y = relu_in_place(x * 1)
    y.backward(torch.tensor([5.0, 6.0, 7.0]))
    assert y.tolist() == [0.0, 0.0, 2.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 7.0]
