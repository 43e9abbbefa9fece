"""How much faster one model is than another, measured side by side."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from miscope.core import MiscopeError
from miscope.model.transformer import Transformer

ROUNDS = 7


def least_seconds(runs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, repeats: int = 3) -> dict[str, float]:
    """The least CPU seconds of one call of each; they take turns, so that a noisy machine disturbs all alike."""
    least = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()  # the first call finds kernels and fills caches
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            for _ in range(repeats):
                run()
            least[name] = min(least[name], (time.process_time() - began) / repeats)
    return least


def speedup(floats: nn.Module, quantized: nn.Module, sample: Tensor) -> float:
    """How many times faster the quantized model is on the sample, without gradients."""
    with torch.inference_mode():
        least = least_seconds({"float": lambda: floats(sample), "quantized": lambda: quantized(sample)})
    return least["float"] / least["quantized"]


def require(wanted: float, floats: nn.Module, quantized: nn.Module, sample: Tensor | None) -> None:
    """
    Raises:
        MiscopeError: the quantized model is not that much faster, or there is nothing to measure on.
    """
    if sample is None:
        if not isinstance(quantized, Transformer):
            raise MiscopeError("`require_speedup` needs a `sample` to measure a model that is no Transformer on.")
        sample = torch.arange(quantized.config.n_ctx)[None] % quantized.config.d_vocab
    found = speedup(floats, quantized, sample)
    if found < wanted:
        shape = " x ".join(map(str, sample.shape))
        raise MiscopeError(
            f"The quantized model is {found:.2f} times as fast as float32 on {shape} tokens; "
            f"`require_speedup` = {wanted}. Small models gain little, and at d_model 64 they are slower quantized."
        )
