"""Rotary positions: queries and keys are turned by angles that grow with the position, so that scores see distances.

Source: Su et al. 2021, arXiv:2104.09864, section 3.2; number i of a head is paired with number i + d_head / 2.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rotated(
    x: Float[Tensor, "*batch pos head d_head"], position: Int[Tensor, "*any pos"], base: float
) -> Float[Tensor, "*batch pos head d_head"]:
    """x turned by `position` times base^(-2 i / d_head) radians in the plane of pair i."""
    half = x.shape[-1] // 2
    frequency = 1.0 / base ** (torch.arange(0, 2 * half, 2, device=x.device).float() / (2 * half))
    angle = (position[..., None].float() * frequency).unsqueeze(-2)
    cos, sin = angle.cos(), angle.sin()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def places(attention_mask: Tensor | None, n_pos: int, device: torch.device) -> Int[Tensor, "*batch pos"]:
    """The position of each token, [pos]; with a mask, [batch pos], counted from the first that is real."""
    if attention_mask is None:
        return torch.arange(n_pos, device=device)
    return (attention_mask.long().cumsum(dim=1) - 1).clamp_(min=0)
