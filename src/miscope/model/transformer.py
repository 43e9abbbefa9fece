"""The product's own decoder-only transformer, pre-norm. Activations pass a hook under TransformerLens' hook names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from miscope.core import MiscopeError, ModelConfig
from miscope.model.attention import MultiHeadAttention, position_ids
from miscope.model.initialisation import initialise
from miscope.model.layers import MLP, Hook, Linear, norm, untouched, within
from miscope.model.rows import UniqueRows


class TransformerBlock(nn.Module):
    """Attention, then an MLP if the model has one, each reading the residual stream and adding to it.

    `seed` decides the weights; None leaves them unset, for the model that the block is a part of.
    """

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.ln1 = norm(config)
        self.attn = MultiHeadAttention(config, seed=None)
        self.ln2 = norm(config) if config.d_mlp else None
        self.mlp = MLP(config, seed=None) if config.d_mlp else None
        initialise(self, seed)

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], query_positions: Int[Tensor, " query"] | None = None,
        hook: Hook = untouched, attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch query d_model"]:  # fmt: skip
        """The residual stream after the block, at the query positions; None: at all."""
        x = hook("hook_resid_pre", x)
        attn_out = self.attn(self.ln1(x, within(hook, "ln1")), query_positions, within(hook, "attn"), attention_mask)
        kept = x if query_positions is None else x[:, query_positions]
        return self._after_attention(kept + hook("hook_attn_out", attn_out), hook)

    def forward_unique(self, x: Float[Tensor, "row d_model"], plan: UniqueRows) -> Float[Tensor, "batch query d_model"]:
        """The same, from the distinct rows of a batch."""
        attn_out, rows = self.attn.forward_unique(self.ln1(x), plan), plan.query_rows
        # where all queries are one row (the `=` of an addition), it is added to all
        kept = x[rows] if len(rows) == 1 else F.embedding(plan.index[:, plan.query_positions], x)
        return self._after_attention(kept + attn_out, untouched)

    def _after_attention(self, x: Tensor, hook: Hook) -> Tensor:
        if self.mlp is not None and self.ln2 is not None:
            x = hook("hook_resid_mid", x)
            x = x + hook("hook_mlp_out", self.mlp(self.ln2(x, within(hook, "ln2")), within(hook, "mlp")))
        return hook("hook_resid_post", x)


class Transformer(nn.Module):
    """Tokens to logits. The seed decides the weights, by generators of its own; the global one is left as it was.

    With `seed` None the weights are left unset, for those that are loaded.
    """

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))
        is_learned = config.positions == "learned"
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model)) if is_learned else None
        blocks = nn.ModuleList(TransformerBlock(config, seed=None) for _ in range(config.n_layers))
        self.blocks = cast(list[TransformerBlock], blocks)
        self.ln_final = norm(config)
        is_tied, has_bias = config.has_tied_embeddings, config.has_biases
        self.unembed = None if is_tied else Linear(config.d_model, config.d_vocab_out, has_bias=has_bias)
        initialise(self, seed)

    def forward(
        self, tokens: Int[Tensor, "batch pos"], *, query_positions: Sequence[int] | None = None,
        hook: Hook = untouched, attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch query vocab"]:  # fmt: skip
        """Logits at the query positions (None: at all). The last layer computes nothing for other positions.

        `attention_mask` is False at padding, which may stand at the left: a padded row gives what it gives without.

        Raises:
            MiscopeError: a sequence longer than `n_ctx`, or a token id outside the vocabulary.
        """
        check_tokens(tokens, self.config)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        at = None if query_positions is None else positions[list(query_positions)]
        return self.logits_at(tokens, at, hook, attention_mask)

    def logits_at(
        self, tokens: Int[Tensor, "batch pos"], query_positions: Int[Tensor, " query"] | None, hook: Hook = untouched,
        attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch query vocab"]:  # fmt: skip
        """The same for tokens that were checked before: a check at each step would have a GPU wait for the host."""
        x, last = hook("hook_embed", F.embedding(tokens, self.W_E)), len(self.blocks) - 1
        if self.W_pos is not None:
            n_pos = tokens.shape[1]
            ids = slice(n_pos) if attention_mask is None else position_ids(attention_mask, n_pos, tokens.device)
            x = x + hook("hook_pos_embed", self.W_pos[ids].expand(len(tokens), -1, -1))
        for i, block in enumerate(self.blocks):
            x = block(x, query_positions if i == last else None, within(hook, f"blocks.{i}"), attention_mask)
        return self._logits(x, hook)

    def forward_unique(self, plan: UniqueRows) -> Float[Tensor, "batch query vocab"]:
        """The same logits at the query positions of the plan; see `model.rows`."""
        first, *rest = self.blocks
        x = F.embedding(plan.token, self.W_E)
        if self.W_pos is not None:
            x = x + F.embedding(plan.position_ids, self.W_pos)
        x = first.forward_unique(x, plan.everywhere if rest else plan)
        for i, block in enumerate(rest):
            is_last = i == len(rest) - 1
            x = block(x, plan.query_positions if is_last else plan.everywhere.query_positions)
        return self._logits(x, untouched)

    def _logits(self, x: Tensor, hook: Hook) -> Tensor:
        x = self.ln_final(x, within(hook, "ln_final"))
        return x @ self.W_E.T if self.unembed is None else self.unembed(x)

    def untie(self) -> "Transformer":
        """Give the unembedding weights of its own, equal to the embedding's; it then trains, or is quantized, alone."""
        if self.unembed is None:
            self.config = replace(self.config, has_tied_embeddings=False)
            self.unembed = Linear(self.config.d_model, self.config.d_vocab_out, has_bias=False)
            self.unembed.weight = nn.Parameter(self.W_E.detach().T.contiguous().clone())
            self.unembed.was_tied = True
        return self


def check_tokens(tokens: Int[Tensor, "batch pos"], config: ModelConfig) -> None:
    """Refuse, by a MiscopeError, a sequence longer than `n_ctx` and a token id outside the vocabulary."""
    if tokens.shape[1] > config.n_ctx:
        raise MiscopeError(f"The sequence has {tokens.shape[1]} positions; the model has {config.n_ctx} (`n_ctx`).")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < config.d_vocab:
        raise MiscopeError(
            f"Token ids run from {int(tokens.min())} to {int(tokens.max())}; "
            f"the vocabulary has 0 to {config.d_vocab - 1} (`d_vocab`)."
        )
