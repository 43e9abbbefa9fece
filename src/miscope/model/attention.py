"""Multi-head attention, computed only for the positions that are read and only once per distinct input row.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; of heads that share keys and values, Ainslie et al. 2023,
arXiv:2305.13245; of norms on queries and keys, Henry et al. 2020, arXiv:2010.04245.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from miscope.core import ModelConfig
from miscope.model.hooks import Hook, untouched, within
from miscope.model.linear import Linear, outputs
from miscope.model.mix import embedding_bag, gather
from miscope.model.norm import LayerNorm
from miscope.model.rotary import places, rotated
from miscope.model.rows import UniqueRows


class MultiHeadAttention(nn.Module):
    """Heads write what they read from the attended positions back through W_O."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.d_head, self.is_causal = config.n_heads, config.d_head, config.is_causal
        self.n_sharing = config.n_heads // (config.n_key_value_heads or config.n_heads)
        self.rotary_base = config.rotary_base if config.positions == "rotary" else None
        inner, has_bias = config.n_heads * config.d_head, config.has_biases or config.has_qkv_biases
        self.q = Linear(config.d_model, inner, has_bias=has_bias)
        self.k = Linear(config.d_model, inner // self.n_sharing, has_bias=has_bias)
        self.v = Linear(config.d_model, inner // self.n_sharing, has_bias=has_bias)
        self.q_norm = LayerNorm("RMS", config.d_head, config.eps) if config.use_qk_norm else None
        self.k_norm = LayerNorm("RMS", config.d_head, config.eps) if config.use_qk_norm else None
        self.o = Linear(inner, config.d_model, has_bias=config.has_biases)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        read: Tensor | None,
        hook: Hook = untouched,
        attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch read d_model"]:
        """The heads' sum at the positions `read` (None: at all); the hook sees q, pattern and z at those positions only.

        What is not real (padding) is attended to by itself alone, and positions count from the first that is.
        """
        place = places(attention_mask, x.shape[1], x.device)
        if read is None:
            at, (q, k, v) = place, outputs(x, self.q, self.k, self.v)
        else:
            at, q, (k, v) = place[..., read], self.q(x.index_select(1, read)), outputs(x, self.k, self.v)
        q = self._placed("q", hook("hook_q", self._by_head(q)), at, hook)
        k = self._for_all(self._placed("k", hook("hook_k", self._by_head(k)), place, hook))
        v = self._for_all(hook("hook_v", self._by_head(v)))
        scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1)).div_(math.sqrt(self.d_head))
        scores = hook("hook_attn_scores", self._masked(scores, read, attention_mask))
        pattern = hook("hook_pattern", scores.softmax(dim=-1))
        z = hook("hook_z", (pattern @ v.transpose(1, 2)).transpose(1, 2))
        return self.o(z.flatten(2))

    def forward_unique(self, x: Float[Tensor, "row d_model"], rows: UniqueRows) -> Float[Tensor, "batch read d_model"]:
        """The same from distinct rows: q, k, v computed once per row, scores once per pair of rows that can meet."""
        q, (k, v) = self.q(x[rows.queries]), outputs(x, self.k, self.v)
        q = self._placed("q", self._by_head(q), rows.position[rows.queries])
        k = self._for_all(self._placed("k", self._by_head(k), rows.position))
        v = self._for_all(self._by_head(v))
        table = torch.einsum("qhe,uhe->hqu", q, k) / math.sqrt(self.d_head)
        n_examples, n_pos = rows.index.shape
        scores = gather(table.flatten(1), rows.pairs).view(self.n_heads, n_pos, n_examples, len(rows.read))
        if self.is_causal and rows.future is not None:
            scores = scores.masked_fill(rows.future, float("-inf"))
        pattern = scores.softmax(dim=1)  # the softmax over a far axis is vectorised, over a last axis of 3 it is not
        weights = rearrange(pattern, "h s b r -> (b r h) s")
        z = embedding_bag(v.reshape(-1, self.d_head), weights, rows.bags(self.n_heads))
        return self.o(z.view(n_examples, len(rows.read), -1))

    def _by_head(self, x: Float[Tensor, "... inner"]) -> Float[Tensor, "... head d_head"]:
        return x.unflatten(-1, (-1, self.d_head))

    def _placed(self, name: str, x: Tensor, place: Tensor, hook: Hook = untouched) -> Float[Tensor, "... head d_head"]:
        """Queries or keys, normed and turned where the model does either."""
        norm = self.q_norm if name == "q" else self.k_norm
        if norm is not None:
            x = norm(x, within(hook, f"{name}_norm"))
        return x if self.rotary_base is None else hook(f"hook_rot_{name}", rotated(x, place, self.rotary_base))

    def _for_all(self, x: Float[Tensor, "... group d_head"]) -> Float[Tensor, "... head d_head"]:
        return x if self.n_sharing == 1 else x.repeat_interleave(self.n_sharing, dim=-2)

    def _masked(
        self, scores: Float[Tensor, "batch head read pos"], read: Tensor | None, attention_mask: Tensor | None
    ) -> Float[Tensor, "batch head read pos"]:
        """The scores, overwritten, with minus infinity where nothing may be attended to."""
        if self.is_causal:
            scores = scores.add_(_future(scores, read))  # the same bits as to fill them, in a seventh of the time
        if attention_mask is not None:
            key = torch.arange(scores.shape[-1], device=scores.device)
            is_hidden = ~attention_mask[:, None, None, :] & (key != (key if read is None else read)[:, None])
            scores = scores.masked_fill(is_hidden, -torch.inf)
        return scores


def _future(scores: Float[Tensor, "batch head read pos"], read: Tensor | None) -> Float[Tensor, "read pos"]:
    """Minus infinity at what follows a position, 0 elsewhere."""
    n_pos, dtype, device = scores.shape[-1], scores.dtype, scores.device
    if read is None:
        return torch.full((n_pos, n_pos), -torch.inf, dtype=dtype, device=device).triu_(1)
    is_future = torch.arange(n_pos, device=device) > read[:, None]
    return torch.zeros(is_future.shape, dtype=dtype, device=device).masked_fill_(is_future, -torch.inf)
