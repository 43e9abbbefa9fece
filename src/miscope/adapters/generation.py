"""Text from any adapter: the likeliest token, or one drawn at a temperature from the top k or the nucleus.

Each token costs a forward pass over all before it: right for small models, and the same for every architecture.

Source: of the nucleus, Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from miscope.adapters.base import BaseAdapter
from miscope.core import MiscopeError


@torch.no_grad()
def generate(
    adapter: BaseAdapter, input_ids: Int[Tensor, "batch pos"], attention_mask: Int[Tensor, "batch pos"] | None = None,
    *, max_new_tokens: int, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0,
    end: int | None = None,
) -> Int[Tensor, "batch longer"]:  # fmt: skip
    """The prompts, padded at the left if at all, with what follows them.

    Temperature 0 takes the likeliest token. `top_k` 0 and `top_p` 1 leave all tokens. A row that has produced `end`
    goes on with `end`; all having done so, no more is computed. The seed alone decides what is drawn.

    Raises:
        MiscopeError: a setting is out of range.
    """
    _check(max_new_tokens, temperature, top_k, top_p)
    was_training, generator = adapter.training, torch.Generator().manual_seed(seed)
    has_ended = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    adapter.eval()
    try:
        for _ in range(max_new_tokens):
            logits = adapter(input_ids, attention_mask)[:, -1].double().cpu()
            if temperature:
                shares = allowed(logits / temperature, top_k, top_p).exp()
                token = torch.multinomial(shares, 1, generator=generator)[:, 0].to(input_ids.device)
            else:
                token = logits.argmax(dim=-1).to(input_ids.device)
            if end is not None:
                token = torch.where(has_ended, end, token)
                has_ended |= token == end
            input_ids = torch.cat([input_ids, token[:, None]], dim=1)
            if attention_mask is not None:
                attention_mask = torch.cat([attention_mask, torch.ones_like(attention_mask[:, :1])], dim=1)
            if bool(has_ended.all()):
                break
    finally:
        adapter.train(was_training)
    return input_ids


def allowed(logits: Float[Tensor, "batch vocab"], top_k: int, top_p: float) -> Float[Tensor, "batch vocab"]:
    """Log-probabilities; -inf outside of the `top_k` likeliest and of the smallest set with `top_p` of the mass."""
    logits = logits.log_softmax(dim=-1)
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf")).log_softmax(dim=-1)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        before = ordered.exp().cumsum(dim=-1) - ordered.exp()  # the mass of what is likelier
        is_out = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before >= top_p)
        logits = logits.masked_fill(is_out, float("-inf")).log_softmax(dim=-1)
    return logits


def _check(max_new_tokens: int, temperature: float, top_k: int, top_p: float) -> None:
    for name, value in {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k}.items():
        if not value >= 0:
            raise MiscopeError(f"`{name}` = {value}; allowed: 0 or more.")
    if not 0 < top_p <= 1:
        raise MiscopeError(f"`top_p` = {top_p}; allowed: above 0, to 1.")
