"""What a Hugging Face config.json says of a model's shape, as the settings of our own transformer; without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from miscope.core import MiscopeError, ModelConfig


def read_config(path: Path) -> dict[str, Any]:
    """What config.json in a folder says; empty where there is none."""
    file = path / "config.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def core_config(config: Mapping[str, Any]) -> ModelConfig:
    """The shape of a model whose config.json says `config`; what our transformer does not compute is refused."""
    kind = config.get("model_type")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    refused = {
        "model_type": kind not in ("qwen2", "qwen3", "llama"),
        "rope_type": rope.get("rope_type", rope.get("type", "default")) != "default",
        "partial_rotary_factor": rope.get("partial_rotary_factor", 1) != 1,
        "layer_types": any(name != "full_attention" for name in config.get("layer_types") or ()),
        "attention_bias": bool(config.get("attention_bias")),
        "mlp_bias": bool(config.get("mlp_bias")),
        "hidden_act": config.get("hidden_act", "silu") != "silu",
    }
    if odd := [name for name, is_so in refused.items() if is_so]:
        said = config.get(odd[0], rope.get(odd[0], rope))
        raise MiscopeError(f"Our transformer does not compute `{odd[0]}` = {said} of this {kind} model.")
    d_model, n_heads = config["hidden_size"], config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or n_heads
    return ModelConfig(
        n_layers=config["num_hidden_layers"], d_model=d_model, n_heads=n_heads,
        d_head=config.get("head_dim") or d_model // n_heads, d_mlp=config["intermediate_size"],
        n_ctx=config["max_position_embeddings"], d_vocab=config["vocab_size"], d_vocab_out=config["vocab_size"],
        act_fn="silu", normalization="RMS", initialisation="gpt2", gated_mlp=True, eps=config["rms_norm_eps"],
        positions="rotary", rotary_base=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
        n_key_value_heads=0 if groups == n_heads else groups, use_qk_norm=kind == "qwen3",
        has_qkv_biases=kind == "qwen2", has_tied_embeddings=bool(config.get("tie_word_embeddings", False)),
    )  # fmt: skip
