"""Our training step beside TransformerLens' native model in the plain loop: same weights, same batch, same machine.

(a) as its grokking demo trains: a step, then a pass over the test set without gradients; (b) the step alone. The two
take turns in short rounds, so that a noisy machine disturbs both; what is compared are medians. In (a) ours includes
its own evaluation every `eval_every` steps. The last line is JSON.

`python bench/train.py --device cuda` measures the canonical run alone, there: an update as a CUDA graph and kernel by
kernel, and what a stretch with its evaluations comes to over 12,500 steps.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
import transformer_lens.model_bridge.sources.native  # noqa: F401  attaches boot_native
from torch import Tensor
from tqdm import trange
from transformer_lens import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from miscope.core import MiscopeError, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.memory import keep_freed_memory
from miscope.model.transformer import Transformer
from miscope.training.batches import Batch, Batches
from miscope.training.device import device_for
from miscope.training.graphs import replaying
from miscope.training.trainer import Trainer, lone

P, FRACTION, SEED, DATA_SEED, EVAL_EVERY = 113, 0.3, 999, 598, 10
ROUNDS, STEPS_A_ROUND, STEPS_COMPARED = 12, 6, 50
STEPS, STRETCH = 12_500, 1_000  # of the canonical run; measured of it
Kind = Literal["cpu", "cuda"]
FAMILY = ModuloAddition(P, FRACTION)
VARIANT = Variant("bench", "modulo_addition", FAMILY, SEED, DATA_SEED, FAMILY.model(), FAMILY.recipe(), (0,))


def main() -> None:
    keep_freed_memory()
    difference = largest_loss_difference(ours(), Lens())

    run, lens, network = ours(), Lens(), Transformer(VARIANT.model, SEED)
    test = lens.batches.test
    seconds: dict[str, list[float]] = {}
    for _ in trange(ROUNDS, desc="rounds", disable=not sys.stderr.isatty()):
        for name, step in (("ours", run.advance), ("lens", lens.advance)):
            seconds.setdefault(name, []).extend(_in_its_stride(step, STEPS_A_ROUND))
        for name, look in (
            ("ours_test", lambda: test.loss_and_accuracy(network)),
            ("lens_test", lambda: lens.test(test)),
        ):
            seconds.setdefault(name, []).extend(_in_its_stride(look, 1))
        seconds.setdefault("matmul", []).append(timed(matmul) / MATMULS)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    report(medians, len(lens.batches.split.train), difference)


def report(seconds: dict[str, float], n_examples: int, difference: float) -> None:
    ms = {name: 1e3 * value for name, value in seconds.items()}
    step = ms["lens"] / ms["ours"]
    demo_loop = (ms["lens"] + ms["lens_test"]) / (ms["ours"] + ms["ours_test"] / EVAL_EVERY)
    flops = step_flops(n_examples)
    achieved, peak = flops / seconds["ours"] / 1e9, 2 * SIZE**3 / seconds["matmul"] / 1e9
    print(f"p = {P}, fraction {FRACTION}, {n_examples} examples, {torch.get_num_threads()} threads, {ROUNDS} rounds")
    print(f"losses of the first {STEPS_COMPARED} steps agree to {difference:.1e} (relative)")
    print("                   ours   TransformerLens' native model, plain loop")
    print(f"step        {ms['ours']:8.1f} ms  {ms['lens']:8.1f} ms   {step:.2f}x")
    print(f"test pass   {ms['ours_test']:8.1f} ms  {ms['lens_test']:8.1f} ms   (ours every {EVAL_EVERY} steps)")
    print(f"demo loop   {demo_loop:.2f}x")
    print(f"matmuls of a step: {flops / 1e9:.2f} GFLOP, {achieved:.0f} GFLOP/s of a peak of {peak:.0f} GFLOP/s")
    figures = {
        "speedup_demo_loop": round(demo_loop, 2),
        "speedup_step": round(step, 2),
        "peak_share": round(achieved / peak, 3),
        "gflops": round(achieved, 1),
        "step_ms": round(ms["ours"], 2),
        "loss_difference": difference,
    }
    print(json.dumps(figures))


def alone(kind: Kind) -> None:
    """The canonical run on a device, from stretches in their stride."""
    run, plain = replaying(ours(kind), VARIANT.recipe), ours(kind)
    step, eager_step = (_seconds_a_step(trainer, evaluates=False) for trainer in (run, plain))
    whole = STEPS * _seconds_a_step(run, evaluates=True)
    print(f"p = {P}, fraction {FRACTION}, {run.device.describe()}")
    print(f"step {1e3 * step:.2f} ms, a CUDA graph: {run.is_replaying}; kernel by kernel {1e3 * eager_step:.2f} ms")
    print(f"{STEPS:,} steps, evaluated every {EVAL_EVERY}: {whole:.0f} s, from {STRETCH:,}")
    if run.fallback_reason:
        print(run.fallback_reason)
    figures = {"graphs": run.is_replaying, "step_ms": round(1e3 * step, 3), "eager_step_ms": round(1e3 * eager_step, 3)}
    print(json.dumps(figures | {"seconds": round(whole, 1)}))


def _seconds_a_step(run: Trainer, evaluates: bool) -> float:
    run.advance()
    run.models[0].evaluate(run.step)  # waits for the device, as the last one below does
    start = time.perf_counter()
    for i in range(1, STRETCH + 1):
        run.advance()
        if i == STRETCH or (evaluates and i % EVAL_EVERY == 0):
            run.models[0].evaluate(run.step)
    return (time.perf_counter() - start) / STRETCH


def ours(kind: Kind = "cpu") -> Trainer:
    """The product's own training of the calibration recipe."""
    recipe = replace(VARIANT.recipe, device=kind)
    return lone(replace(VARIANT, recipe=recipe), device_for(recipe))


class Lens:
    """One update by `TransformerBridge.boot_native` from the same weights, biases frozen at zero, in the plain loop."""

    def __init__(self) -> None:
        shape, device = VARIANT.model, device_for(VARIANT.recipe)
        self.batches = Batches(FAMILY, DATA_SEED, VARIANT.recipe, shape, device)
        self.train = self.batches.train
        config = TransformerBridgeConfig(
            **{name: getattr(shape, name) for name in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx")},
            d_vocab=shape.d_vocab, d_vocab_out=shape.d_vocab_out, act_fn="relu", normalization_type=None, seed=SEED,
        )  # fmt: skip
        self.model = TransformerBridge.boot_native(config, device="cpu")
        _copy_weights(Transformer(shape, SEED), self.model)
        learned = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(learned, lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))

    def advance(self) -> Tensor:
        loss = _cross_entropy(self.model(self.train.tokens)[:, -1], self.train.targets)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    @torch.no_grad()
    def test(self, test: Batch) -> Tensor:
        return _cross_entropy(self.model(test.tokens)[:, -1], test.targets)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.double(), targets)


def _copy_weights(ours: Transformer, lens: TransformerBridge) -> None:
    block = ours.blocks[0]
    assert block.mlp is not None and ours.unembed is not None
    sources = {
        "tok_embed": ours.W_E, "pos": ours.W_pos, "head": ours.unembed.weight.T,
        "q": block.attn.q.weight.T, "k": block.attn.k.weight.T, "v": block.attn.v.weight.T, "o": block.attn.o.weight.T,
        "fc_in": block.mlp.fc_in.weight.T, "fc_out": block.mlp.fc_out.weight.T,
    }  # fmt: skip
    for name, parameter in lens.original_model.named_parameters():
        part = name.removesuffix("._original_component.weight").rpartition(".")[2]
        if name.endswith("bias"):
            parameter.requires_grad_(False).zero_()
        else:
            parameter.data.copy_(sources[part])


def largest_loss_difference(ours: Trainer, theirs: Lens) -> float:
    """The largest relative difference of the two losses over the first steps.

    Raises:
        MiscopeError: they differ by more than 1e-6: the two do not train the same model.
    """
    pairs = [(ours.advance().item(), theirs.advance().item()) for _ in range(STEPS_COMPARED)]
    worst = max(abs(a - b) / b for a, b in pairs)
    early = max(abs(a - b) / b for a, b in pairs[:10])
    if early > 1e-6:
        raise MiscopeError(f"The losses of the first 10 steps differ by {early:.1e}: not the same training.")
    return worst


def step_flops(n_examples: int) -> int:
    """Floating-point operations of the matmuls that one update needs, forward and back: 6 a weight and row it meets.

    Rows: an example for W_O, W_in, W_out, W_U; a distinct (token, position) for the rest, which adds less than 1 %.
    """
    shape = ModuloAddition(P, FRACTION).model()
    per_example = shape.d_model * (shape.n_heads * shape.d_head + 2 * shape.d_mlp + shape.d_vocab_out)
    return 6 * n_examples * per_example


SIZE, MATMULS = 1024, 4
LEFT, RIGHT = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)


def matmul() -> None:
    """The machine's own float32 peak, measured between the rounds."""
    for _ in range(MATMULS):
        LEFT @ RIGHT


def _in_its_stride(function: Callable[[], object], n: int) -> list[float]:
    """Seconds of `n` calls, after two that bring back its memory from the other's turn; a training has no turns."""
    return [timed(function) for _ in range(2 + n)][2:]


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    asked = parser.parse_args()
    if asked.device:
        alone(asked.device)
    else:
        main()
