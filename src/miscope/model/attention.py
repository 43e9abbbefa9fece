"""Multi-head attention, computed only for the positions that are read and only once per distinct input row.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from miscope.core import ModelConfig
from miscope.model.linear import Linear
from miscope.model.mix import looked_up, weighed_sums
from miscope.model.rows import Rows
from miscope.model.tap import Tap, untouched


class Attention(nn.Module):
    """Heads write what they read from the attended positions back through W_O."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.d_head, self.is_causal = config.n_heads, config.d_head, config.is_causal
        inner = config.n_heads * config.d_head
        self.q = Linear(config.d_model, inner, has_bias=config.has_biases)
        self.k = Linear(config.d_model, inner, has_bias=config.has_biases)
        self.v = Linear(config.d_model, inner, has_bias=config.has_biases)
        self.o = Linear(inner, config.d_model, has_bias=config.has_biases)

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], read: Tensor, tap: Tap = untouched
    ) -> Float[Tensor, "batch read d_model"]:
        """The heads' sum at the positions `read`; the tap sees q, pattern and z at those positions only."""
        q = tap("hook_q", self._by_head(self.q(x[:, read])))
        k = tap("hook_k", self._by_head(self.k(x)))
        v = tap("hook_v", self._by_head(self.v(x)))
        scores = torch.einsum("brhe,bshe->bhrs", q, k) / math.sqrt(self.d_head)
        scores = tap("hook_attn_scores", self._masked(scores, read))
        pattern = tap("hook_pattern", scores.softmax(dim=-1))
        z = tap("hook_z", torch.einsum("bhrs,bshe->brhe", pattern, v))
        return self.o(rearrange(z, "b r h e -> b r (h e)"))

    def of_rows(self, x: Float[Tensor, "row d_model"], rows: Rows) -> Float[Tensor, "batch read d_model"]:
        """The same from distinct rows: q, k, v computed once per row, scores once per pair of rows that can meet."""
        q = self._by_head(self.q(x[rows.queries]))
        k, v = self._by_head(self.k(x)), self.v(x)
        table = torch.einsum("qhe,uhe->hqu", q, k) / math.sqrt(self.d_head)
        n_examples, n_pos = rows.index.shape
        scores = looked_up(table.flatten(1), rows.pairs).view(self.n_heads, n_pos, n_examples, len(rows.read))
        if self.is_causal and rows.future is not None:
            scores = scores.masked_fill(rows.future, float("-inf"))
        pattern = scores.softmax(dim=1)  # the softmax over a far axis is vectorised, over a last axis of 3 it is not
        weights = rearrange(pattern, "h s b r -> (b r h) s")
        z = weighed_sums(v.reshape(-1, self.d_head), weights, rows.bags(self.n_heads))
        return self.o(z.view(n_examples, len(rows.read), -1))

    def _by_head(self, x: Float[Tensor, "... inner"]) -> Float[Tensor, "... head d_head"]:
        return x.unflatten(-1, (self.n_heads, self.d_head))

    def _masked(
        self, scores: Float[Tensor, "batch head read pos"], read: Tensor
    ) -> Float[Tensor, "batch head read pos"]:
        if not self.is_causal:
            return scores
        is_future = torch.arange(scores.shape[-1], device=scores.device) > read[:, None]
        return scores.masked_fill(is_future, float("-inf"))
