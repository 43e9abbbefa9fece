"""The product's own decoder-only transformer, pre-norm. Activations pass a hook under TransformerLens' hook names."""

from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from miscope.core import MiscopeError, ModelConfig
from miscope.model import initialisation
from miscope.model.attention import MultiHeadAttention
from miscope.model.hooks import Hook, untouched, within
from miscope.model.linear import Linear
from miscope.model.mlp import MLP
from miscope.model.norm import norm
from miscope.model.rotary import places
from miscope.model.rows import UniqueRows


class TransformerBlock(nn.Module):
    """MultiHeadAttention, then an MLP if the model has one, each reading the residual stream and adding to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1 = norm(config.normalization, config.d_model, config.eps)
        self.attn = MultiHeadAttention(config)
        self.ln2 = norm(config.normalization, config.d_model, config.eps) if config.d_mlp else None
        self.mlp = MLP(config) if config.d_mlp else None

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        read: Int[Tensor, " read"] | None,
        hook: Hook,
        attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch read d_model"]:
        """The residual stream after the block, at the positions `read`; None: at all."""
        x = hook("hook_resid_pre", x)
        attn_out = self.attn(self.ln1(x, within(hook, "ln1")), read, within(hook, "attn"), attention_mask)
        kept = x if read is None else x[:, read]
        return self._after_attention(kept + hook("hook_attn_out", attn_out), hook)

    def forward_unique(self, x: Float[Tensor, "row d_model"], rows: UniqueRows) -> Float[Tensor, "batch read d_model"]:
        """The same, from the distinct rows of a batch."""
        attn_out = self.attn.forward_unique(self.ln1(x), rows)
        # where all read one row (the `=` of an addition), it is added to all
        read = x[rows.queries] if len(rows.queries) == 1 else F.embedding(rows.index[:, rows.read], x)
        return self._after_attention(read + attn_out, untouched)

    def _after_attention(self, x: Tensor, hook: Hook) -> Tensor:
        if self.mlp is not None and self.ln2 is not None:
            x = hook("hook_resid_mid", x)
            x = x + hook("hook_mlp_out", self.mlp(self.ln2(x, within(hook, "ln2")), within(hook, "mlp")))
        return hook("hook_resid_post", x)


class Transformer(nn.Module):
    """Tokens to logits. The seed decides the weights, by generators of its own; the global one is left as it was."""

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))
        is_learned = config.positions == "learned"
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model)) if is_learned else None
        self.blocks = cast(
            list[TransformerBlock], nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        )
        self.ln_final = norm(config.normalization, config.d_model, config.eps)
        is_tied, has_bias = config.has_tied_embeddings, config.has_biases
        self.unembed = None if is_tied else Linear(config.d_model, config.d_vocab_out, has_bias=has_bias)
        initialisation.initialise(self, seed)

    def forward(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        positions: tuple[int, ...] | None = None,
        hook: Hook = untouched,
        attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch read vocab"]:
        """Logits at `positions` (default: all). The last layer computes nothing for the other positions.

        `attention_mask` is False at padding, which may stand at the left: a padded row gives what it gives without.

        Raises:
            MiscopeError: a sequence longer than `n_ctx`, or a token id outside the vocabulary.
        """
        check_tokens(tokens, self.config)
        everywhere = torch.arange(tokens.shape[1], device=tokens.device)
        return self.logits_at(tokens, None if positions is None else everywhere[list(positions)], hook, attention_mask)

    def logits_at(
        self,
        tokens: Int[Tensor, "batch pos"],
        read: Int[Tensor, " read"] | None,
        hook: Hook = untouched,
        attention_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch read vocab"]:
        """The same for tokens that were checked before: a check at each step would have a GPU wait for the host."""
        x = hook("hook_embed", F.embedding(tokens, self.W_E))
        if self.W_pos is not None:
            place = (
                self.W_pos[: tokens.shape[1]]
                if attention_mask is None
                else self.W_pos[places(attention_mask, tokens.shape[1], tokens.device)]
            )
            x = x + hook("hook_pos_embed", place.expand(len(tokens), -1, -1))
        for i, block in enumerate(self.blocks):
            x = block(x, read if i == len(self.blocks) - 1 else None, within(hook, f"blocks.{i}"), attention_mask)
        return self._logits(x, hook)

    def forward_unique(self, rows: UniqueRows) -> Float[Tensor, "batch read vocab"]:
        """The same logits at the positions of the plan, for a one-layer or deeper model; see `model.rows`."""
        first, *rest = self.blocks
        x = F.embedding(rows.token, self.W_E)
        if self.W_pos is not None:
            x = x + F.embedding(rows.position, self.W_pos)
        x = first.forward_unique(x, rows.everywhere if rest else rows)
        for i, block in enumerate(rest):
            x = block(x, rows.read if i == len(rest) - 1 else rows.everywhere.read, untouched)
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
        return self


def check_tokens(tokens: Int[Tensor, "batch pos"], config: ModelConfig) -> None:
    """
    Raises:
        MiscopeError: a sequence longer than `n_ctx`, or a token id outside the vocabulary.
    """
    if tokens.shape[1] > config.n_ctx:
        raise MiscopeError(f"The sequence has {tokens.shape[1]} positions; the model has {config.n_ctx} (`n_ctx`).")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < config.d_vocab:
        raise MiscopeError(
            f"Token ids run from {int(tokens.min())} to {int(tokens.max())}; "
            f"the vocabulary has 0 to {config.d_vocab - 1} (`d_vocab`)."
        )
