"""Qwen2, Qwen2.5 and Qwen3, dense, from a local folder in Hugging Face's layout.

Source: Qwen Team 2024, arXiv:2407.10671 (Qwen2); 2025, arXiv:2505.09388 (Qwen3).
"""

from typing import ClassVar

from miscope.adapters.huggingface import HuggingFaceAdapter


class QwenAdapter(HuggingFaceAdapter):
    """Rotary positions, shared keys and values, gated MLPs; Qwen2 with biases on q, k, v, Qwen3 with norms on q, k."""

    architecture: ClassVar[str] = "qwen"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2", "qwen3")
