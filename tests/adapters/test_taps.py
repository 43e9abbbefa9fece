"""Our hook on Qwen's weights against TransformerLens' own bridge of the library's model: names, shapes, values."""

import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from miscope.adapters.qwen import QwenAdapter

OURS = {f"blocks.{i}.{name}" for i in range(2) for name in (
    *("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post"),
    *("ln1.hook_scale", "ln1.hook_normalized", "ln2.hook_scale", "ln2.hook_normalized"),
    *(f"attn.hook_{part}" for part in ("q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z")),
    *("mlp.hook_pre", "mlp.hook_pre_linear", "mlp.hook_post"),
)} | {"hook_embed", "ln_final.hook_scale", "ln_final.hook_normalized"}  # fmt: skip


@torch.no_grad()
def test_tap_and_bridge_of_the_librarys_model_show_the_same(
    folder: str, qwen: QwenAdapter, tokens: Tensor, capsys: pytest.CaptureFixture
) -> None:
    seen: dict[str, Tensor] = {}

    def keep(name: str, x: Tensor) -> Tensor:
        seen[name] = x
        return x

    qwen.core()(tokens, hook=keep)
    qwen.model.config._attn_implementation = "eager"
    lens = TransformerBridge.boot_transformers(str(folder), hf_model=qwen.model, tokenizer=qwen.get_tokenizer())
    _, cache = lens.run_with_cache(tokens)
    norms = {name for name in seen if "attn.q_norm" in name or "attn.k_norm" in name}
    assert set(seen) == OURS | norms
    assert bool(norms) == (qwen.get_config()["model_type"] == "qwen3")
    for name, ours in seen.items():
        assert name in cache, name
        theirs = cache[name]
        if name in norms:  # [batch head pos ...] there; ours keeps the order of hook_q
            theirs = theirs.transpose(1, 2)
        finite = torch.isfinite(ours)
        assert theirs.shape == ours.shape, (name, theirs.shape, ours.shape)
        assert (ours - theirs)[finite].abs().max() <= 1e-5 * max(1.0, ours[finite].abs().max().item()), name
