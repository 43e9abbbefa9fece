"""Multi-head attention, computed only at the query positions and only once per distinct input row.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; heads that share keys and values, Ainslie et al. 2023,
arXiv:2305.13245; norms on queries and keys, Henry et al. 2020, arXiv:2010.04245; rotary positions, Su et al. 2021,
arXiv:2104.09864, section 3.2, with number i of a head paired with number i + d_head / 2.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from miscope.core import ModelConfig
from miscope.model.initialisation import initialise
from miscope.model.layers import Hook, LayerNorm, Linear, outputs, untouched, within
from miscope.model.rows import UniqueRows, embedding_bag, gather


class MultiHeadAttention(nn.Module):
    """Heads write what they read from the attended positions back through W_O.

    `seed` decides the weights; None leaves them unset, for the model that the attention is a part of.
    """

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config, self.n_heads, self.d_head = config, config.n_heads, config.d_head
        self.n_sharing = config.n_heads // (config.n_key_value_heads or config.n_heads)
        inner, has_bias = config.n_heads * config.d_head, config.has_biases or config.has_qkv_biases
        self.q = Linear(config.d_model, inner, has_bias=has_bias)
        self.k = Linear(config.d_model, inner // self.n_sharing, has_bias=has_bias)
        self.v = Linear(config.d_model, inner // self.n_sharing, has_bias=has_bias)
        self.q_norm = LayerNorm(config.d_head, "RMS", config.eps) if config.use_qk_norm else None
        self.k_norm = LayerNorm(config.d_head, "RMS", config.eps) if config.use_qk_norm else None
        self.o = Linear(inner, config.d_model, has_bias=config.has_biases)
        initialise(self, seed)

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], query_positions: Int[Tensor, " query"] | None = None,
        hook: Hook = untouched, attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch query d_model"]:  # fmt: skip
        """The heads' sum at the query positions (None: at all); the hook sees q, pattern and z at those alone.

        Padding, where the mask is False, is attended to by itself alone; positions count from the first real token.
        """
        key_ids = position_ids(attention_mask, x.shape[1], x.device)
        if query_positions is None:
            query_ids, (q, k, v) = key_ids, outputs(x, self.q, self.k, self.v)
        else:
            query_ids, q = key_ids[..., query_positions], self.q(x.index_select(1, query_positions))
            k, v = outputs(x, self.k, self.v)
        q = self._positioned("q", hook("hook_q", self._by_head(q)), query_ids, hook)
        k = self._for_all(self._positioned("k", hook("hook_k", self._by_head(k)), key_ids, hook))
        v = self._for_all(hook("hook_v", self._by_head(v)))
        scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1)).div_(math.sqrt(self.d_head))
        scores = hook("hook_attn_scores", self._masked(scores, query_positions, attention_mask))
        pattern = hook("hook_pattern", scores.softmax(dim=-1))
        z = hook("hook_z", (pattern @ v.transpose(1, 2)).transpose(1, 2))
        return self.o(z.flatten(2))

    def forward_unique(self, x: Float[Tensor, "row d_model"], plan: UniqueRows) -> Float[Tensor, "batch query d_model"]:
        """The same from distinct rows: q, k, v computed once per row, scores once per pair of rows that can meet."""
        q, (k, v) = self.q(x[plan.query_rows]), outputs(x, self.k, self.v)
        q = self._positioned("q", self._by_head(q), plan.position_ids[plan.query_rows])
        k = self._for_all(self._positioned("k", self._by_head(k), plan.position_ids))
        v = self._for_all(self._by_head(v))
        table = torch.einsum("qhe,uhe->hqu", q, k) / math.sqrt(self.d_head)
        (n_examples, n_pos), n_queries = plan.index.shape, len(plan.query_positions)
        scores = gather(table.flatten(1), plan.pairs).view(self.n_heads, n_pos, n_examples, n_queries)
        if self.config.is_causal and plan.future is not None:
            scores = scores.masked_fill(plan.future, float("-inf"))
        pattern = scores.softmax(dim=1)  # the softmax over a far axis is vectorised, over a last axis of 3 it is not
        weights = rearrange(pattern, "h s b q -> (b q h) s")
        z = embedding_bag(v.reshape(-1, self.d_head), weights, plan.bags(self.n_heads))
        return self.o(z.view(n_examples, n_queries, -1))

    def _by_head(self, x: Float[Tensor, "... inner"]) -> Float[Tensor, "... head d_head"]:
        return x.unflatten(-1, (-1, self.d_head))

    def _positioned(self, name: str, x: Tensor, ids: Tensor, hook: Hook = untouched) -> Float[Tensor, "... d_head"]:
        """Queries or keys, normed and turned where the model does either."""
        norm = self.q_norm if name == "q" else self.k_norm
        if norm is not None:
            x = norm(x, within(hook, f"{name}_norm"))
        is_rotary = self.config.positions == "rotary"
        return hook(f"hook_rot_{name}", rotated(x, ids, self.config.rotary_base)) if is_rotary else x

    def _for_all(self, x: Float[Tensor, "... group d_head"]) -> Float[Tensor, "... head d_head"]:
        return x if self.n_sharing == 1 else x.repeat_interleave(self.n_sharing, dim=-2)

    def _masked(
        self, scores: Float[Tensor, "batch head query pos"], query_positions: Tensor | None, mask: Tensor | None
    ) -> Float[Tensor, "batch head query pos"]:
        """The scores, overwritten, with minus infinity where nothing may be attended to."""
        n_pos, device = scores.shape[-1], scores.device
        key = torch.arange(n_pos, device=device)
        query = (key if query_positions is None else query_positions)[:, None]
        if self.config.is_causal:  # the bits of filling the scores, in a seventh of the time
            none = torch.zeros((len(query), n_pos), dtype=scores.dtype, device=device)
            scores = scores.add_(none.masked_fill_(key > query, -torch.inf))
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :] & (key != query), -torch.inf)
        return scores


def position_ids(attention_mask: Tensor | None, n_pos: int, device: torch.device) -> Int[Tensor, "*batch pos"]:
    """The position of each token, [pos]; with a mask, [batch pos], counted from the first real token."""
    if attention_mask is None:
        return torch.arange(n_pos, device=device)
    return (attention_mask.long().cumsum(dim=1) - 1).clamp_(min=0)


def rotated(
    x: Float[Tensor, "*batch pos head d_head"], ids: Int[Tensor, "*any pos"], base: float
) -> Float[Tensor, "*batch pos head d_head"]:
    """x turned by its position times base^(-2 i / d_head) radians in the plane of pair i."""
    half = x.shape[-1] // 2
    frequency = 1.0 / base ** (torch.arange(0, 2 * half, 2, device=x.device).float() / (2 * half))
    angle = (ids[..., None].float() * frequency).unsqueeze(-2)
    cos, sin = angle.cos(), angle.sin()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
