"""What is generated, against the argmax by hand, and what may be drawn, against probabilities worked out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from miscope.adapters import CustomTransformerAdapter, QwenAdapter
from miscope.adapters.generation import allowed, generate
from miscope.core import MiscopeError


@torch.no_grad()
def test_temperature_zero_takes_the_likeliest_token_again_and_again(qwen: QwenAdapter, tokens: Tensor) -> None:
    expected = tokens
    for _ in range(4):
        expected = torch.cat([expected, qwen(expected)[:, -1:].argmax(dim=-1)], dim=1)
    assert torch.equal(generate(qwen, tokens, max_new_tokens=4), expected)
    assert torch.equal(generate(qwen, tokens, max_new_tokens=4, temperature=1e-6), expected)
    assert torch.equal(generate(qwen, tokens, max_new_tokens=4, temperature=1.0, top_k=1), expected)
    assert torch.equal(generate(CustomTransformerAdapter(qwen.core()), tokens, max_new_tokens=4), expected)
    library = qwen.model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=4, do_sample=False)
    assert torch.equal(library, expected)


def test_the_seed_decides_what_is_drawn(qwen: QwenAdapter, tokens: Tensor) -> None:
    drawn = [generate(qwen, tokens, max_new_tokens=6, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_nothing_follows_the_end_and_other_rows_go_on(qwen: QwenAdapter, tokens: Tensor) -> None:
    free = generate(qwen, tokens, max_new_tokens=5)
    end = int(free[0, tokens.shape[1] + 1])
    stopped = generate(qwen, tokens, max_new_tokens=5, end=end)
    for row, whole in zip(stopped[:, 9:].tolist(), free[:, 9:].tolist(), strict=True):
        expected = whole[: whole.index(end)] + [end] * 5 if end in whole else whole
        assert row == expected[: len(row)]
    assert generate(qwen, tokens[:1], max_new_tokens=5, end=end).shape[1] <= tokens.shape[1] + 2


def test_a_padded_prompt_goes_on_as_it_does_alone(qwen: QwenAdapter, tokens: Tensor) -> None:
    mask = torch.ones_like(tokens)
    mask[1, :4] = 0
    together = generate(qwen, tokens, mask, max_new_tokens=4)
    assert torch.equal(together[1, 9:], generate(qwen, tokens[1:2, 4:], max_new_tokens=4)[0, 5:])


PROBABILITIES = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        (2, 1.0, [0.625, 0.375, 0, 0]),
        (0, 0.5, [1, 0, 0, 0]),
        (0, 0.6, [0.625, 0.375, 0, 0]),
        (0, 0.9, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (3, 0.6, [0.625, 0.375, 0, 0]),
    ],
)
def test_the_top_k_and_the_nucleus_by_hand(top_k: int, top_p: float, expected: list[float]) -> None:
    left = allowed(PROBABILITIES.log(), top_k, top_p).exp()[0].tolist()
    assert left == pytest.approx(expected, abs=1e-12)


class Constant(CustomTransformerAdapter):
    """Says the same probabilities whatever it reads."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return PROBABILITIES.log().expand(*input_ids.shape, -1)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    n = 4000
    drawn = generate(Constant(), torch.zeros(n, 1, dtype=torch.int64), max_new_tokens=1, temperature=0.5)[:, 1]
    squared = PROBABILITIES[0] ** 2
    for token, p in enumerate((squared / squared.sum()).tolist()):
        share = (drawn == token).double().mean().item()
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-3


@pytest.mark.parametrize("odd", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"max_new_tokens": -1}])
def test_settings_out_of_range_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(MiscopeError, match=rf"^`{next(iter(odd))}` = .*; allowed: "):
        generate(Constant(), torch.zeros(1, 1, dtype=torch.int64), **{"max_new_tokens": 1} | odd)
