"""A checkpoint as a real `TransformerBridge`: the whole of TransformerLens 4 on our own model.

Registered through TransformerLens' extension point, `ArchitectureAdapterFactory.register_adapter`. What the bridge runs
is our own blocks, attention and MLP, not TransformerLens' NativeModel: that one fires `hook_attn_scores` with the
pattern, and an edit there does nothing. Ours sees the masked scores, and an edit there changes the logits.

Four things take the form that TransformerLens reads and folds: each of our Linears becomes an `nn.Linear`, stored
[d_out d_in]; a norm becomes torch's own, with `weight` and `bias`; the embeddings become modules; a tied unembedding
gets weights of its own. A bias that the model lacks is a zero that does not train: weight processing writes to biases.

Importing TransformerLens takes seconds: import this module only where a bridge is asked for.
"""

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge import generalized_components as components
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.sources import build_bridge_from_module

from miscope.core import Checkpoint, MiscopeError, ModelConfig
from miscope.model.layers import Hook, LayerNorm, Linear, untouched
from miscope.model.transformer import Transformer, check_tokens
from miscope.model.weights import load_weights
from miscope.quantization.linear import QuantLinear

ARCHITECTURE = "MiscopeTransformer"


def bridge(checkpoint: Checkpoint) -> TransformerBridge:
    """A bridge of its own for the checkpoint's weights, in evaluation mode; the weights are copies."""
    model = load_weights(Transformer(checkpoint.model, seed=None), checkpoint.weights)
    return bridge_of(model, f"step_{checkpoint.step}")


def bridge_of(model: Transformer, name: str = "model") -> TransformerBridge:
    """A bridge of a copy of the model, in evaluation mode; a quantized one runs in integers."""
    own = LensModel(copy.deepcopy(model)).eval()
    return build_bridge_from_module(own, ARCHITECTURE, tl_config=_lens_config(model.config), model_name=name)


class LensModel(nn.Module):
    """Our model, called as TransformerLens calls one. No attribute may have a bridge slot's name, such as `blocks`."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        _in_lens_form(model.untie())
        assert model.unembed is not None
        self.tok_embed = nn.Embedding.from_pretrained(model.W_E.detach(), freeze=False)
        if model.W_pos is not None:
            self.pos = nn.Embedding.from_pretrained(model.W_pos.detach(), freeze=False)
        self.has_positions = model.W_pos is not None
        self.layers, self.ln_out, self.head = model.blocks, model.ln_final, model.unembed
        self.check = functools.partial(check_tokens, config=model.config)

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Logits at all positions. Tokens that the model cannot take, and a mask that hides some, are refused."""
        if attention_mask is not None and not bool(attention_mask.all()):
            raise MiscopeError("`attention_mask` hides tokens; the model reads all: give sequences of one length.")
        if inputs_embeds is None:
            assert input_ids is not None
            self.check(input_ids)
            inputs_embeds = self.tok_embed(input_ids)
        x, (batch, n_pos, _) = inputs_embeds, inputs_embeds.shape
        if self.has_positions:
            x = x + self.pos(torch.arange(n_pos, device=x.device).expand(batch, -1))
        for block in self.layers:
            x = block(x, None, lambda name, x: x)  # a hook: nothing is overwritten that the bridge's hooks may hold
        return self.head(self.ln_out(x))


class LensAttention(components.AttentionBridge):
    """Fires the bridge's hooks of scores, pattern and turned queries and keys from our hook: an edit takes effect."""

    fired = ("hook_attn_scores", "hook_pattern")
    fired_by_head = ("hook_rot_q", "hook_rot_k")  # the bridge takes [batch head pos d_head], and shows our order

    def forward(self, x: Tensor, query_positions: None, hook: Hook, attention_mask: None) -> Tensor:
        return self.hook_out(self.original_component(self.hook_in(x), query_positions, self._fire, attention_mask))

    def _fire(self, name: str, x: Tensor) -> Tensor:
        if name in self.fired_by_head:
            return getattr(self, name)(x.transpose(1, 2)).transpose(1, 2)
        return getattr(self, name)(x) if name in self.fired else x


class LensNorm(components.NormalizationBridge):
    """TransformerLens' norm, which has hooks of its own and no need of our hook."""

    def forward(self, x: Tensor, hook: Hook = untouched) -> Tensor:
        return super().forward(x)


class MiscopeAdapter(ArchitectureAdapter):
    """Which of our modules stands in which slot of the bridge."""

    supports_hf_output_attentions = False
    supports_kv_cache = False
    supports_batched_generation = False

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__(cfg)
        is_causal = cfg.attention_dir == "causal"
        self.supports_generation = self.supports_causal_loss = is_causal
        self.supports_fold_ln = self.supports_center_writing_weights = True
        self.weight_processing_conversions = {**self._qkvo_weight_conversions(include_biases=True)}
        qkvo: dict[str, GeneralizedComponent] = {name: components.LinearBridge(name=name) for name in "qkvo"}
        if cfg.use_qk_norm:
            qkvo |= {n: LensNorm(name=n, config=cfg, uses_rms_norm=True) for n in ("q_norm", "k_norm")}
        parts: dict[str, GeneralizedComponent] = {
            "ln1": self._norm("ln1"),
            "attn": LensAttention(name="attn", config=cfg, submodules=qkvo, is_causal=is_causal),
        }
        if not cfg.attn_only:
            linears = {"in": components.LinearBridge(name="fc_in"), "out": components.LinearBridge(name="fc_out")}
            linears |= {"gate": components.LinearBridge(name="fc_gate")} if cfg.gated_mlp else {}
            kind = components.GatedMLPBridge if cfg.gated_mlp else components.MLPBridge
            parts |= {"ln2": self._norm("ln2"), "mlp": kind(name="mlp", config=cfg, submodules=linears)}
        blocks = components.BlockBridge(name="layers", config=cfg, submodules=parts)
        if cfg.attn_only:  # names of what is not there
            absent = ("hook_resid_mid", "hook_mlp_out")
            blocks.hook_aliases = {name: at for name, at in blocks.hook_aliases.items() if name not in absent}
        is_learned = cfg.positional_embedding_type != "rotary"
        self.component_mapping = {
            "embed": components.EmbeddingBridge(name="tok_embed"),
            **({"pos_embed": components.PosEmbedBridge(name="pos")} if is_learned else {}),
            "blocks": blocks,
            "ln_final": self._norm("ln_out"),
            "unembed": components.UnembeddingBridge(name="head"),
        }

    def _norm(self, name: str) -> GeneralizedComponent:
        if self.cfg.normalization_type is None:
            return GeneralizedComponent(name=name, config=self.cfg)
        return LensNorm(name=name, config=self.cfg, uses_rms_norm=self.cfg.normalization_type == "RMS")


ArchitectureAdapterFactory.register_adapter(ARCHITECTURE, MiscopeAdapter)


def _lens_config(config: ModelConfig) -> TransformerBridgeConfig:
    has_rms = config.normalization == "RMS"
    return TransformerBridgeConfig(
        n_layers=config.n_layers, d_model=config.d_model, n_heads=config.n_heads, d_head=config.d_head,
        d_mlp=config.d_mlp or None, n_ctx=config.n_ctx, d_vocab=config.d_vocab, d_vocab_out=config.d_vocab_out,
        act_fn=config.act_fn, eps=config.eps, gated_mlp=config.gated_mlp, use_qk_norm=config.use_qk_norm,
        normalization_type=None if config.normalization == "none" else config.normalization, uses_rms_norm=has_rms,
        final_rms=has_rms, attn_only=not config.d_mlp, n_key_value_heads=config.n_key_value_heads or None,
        attention_dir="causal" if config.is_causal else "bidirectional", architecture=ARCHITECTURE,
        positional_embedding_type="rotary" if config.positions == "rotary" else "standard",
    )  # fmt: skip


def _in_lens_form(module: nn.Module) -> None:
    """Replace every Linear and LayerNorm below the module by torch's own with the same weights."""
    forms: dict[type, Any] = {Linear: _torch_linear, QuantLinear: QuantLinear.transposed, LayerNorm: _torch_norm}
    for name, child in module.named_children():
        if type(child) in forms:
            setattr(module, name, forms[type(child)](child))
        else:
            _in_lens_form(child)


def _torch_linear(own: Linear) -> nn.Linear:
    d_in, d_out = own.weight.shape
    linear = nn.utils.skip_init(nn.Linear, d_in, d_out)  # draws nothing from the global generator
    linear.weight = nn.Parameter(own.weight.detach().T.contiguous())
    linear.bias = nn.Parameter(torch.zeros(d_out), requires_grad=False) if own.bias is None else own.bias
    return linear


def _torch_norm(own: LayerNorm) -> nn.Module:
    norm: Any = (nn.RMSNorm if own.b is None else nn.LayerNorm)(len(own.w), eps=own.eps)
    norm.weight = own.w
    if own.b is not None:
        norm.bias = own.b
    return norm
