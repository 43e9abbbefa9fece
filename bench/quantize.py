"""A whole model at INT8 and INT4 beside float32, bfloat16 and torchao's int8 path, on one thread, in one run.

They take turns over many rounds, and what is compared is the least CPU time of each: other work on the machine makes a
round slower, never faster. Bytes count every stored tensor. The last line is JSON.
"""

import copy
import json
import sys
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

from miscope.core import ModelConfig
from miscope.model import Linear, Transformer
from miscope.model.memory import keep_freed_memory
from miscope.quantization import prepare_model_for_quantization, quantize, stored_bytes
from miscope.quantization.kernels import CALLS, code_limit
from miscope.quantization.model import least_seconds, replace_layers

SIZES, LENGTH, VOCABULARY, LAYERS = (64, 128, 256, 512, 1024), 128, 1024, 4
HEADLINE = 512
ROUNDS = {64: 60, 128: 60, 256: 60, 512: 150, 1024: 20}
BATCH_BY_LENGTH = ((1, 1), (1, LENGTH))


@dataclass(frozen=True)
class Path:
    """One way to run the model, with how much faster than float32 it is."""

    name: str
    speedup: float
    milliseconds: float
    bytes_share: float
    error: float  # of the logits, relative
    agreement: float  # share of positions with float32's most likely token


def main(sizes: tuple[int, ...]) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    headline: dict[str, Path] = {}
    for d_model in sizes:
        models = ways(d_model)
        for batch, length in BATCH_BY_LENGTH:
            paths = measured(models, tokens(batch, length), ROUNDS[d_model])
            report(d_model, batch, length, paths)
            if d_model == HEADLINE and length == LENGTH:
                headline = {path.name: path for path in paths}
    print(f"kernels: {dict(CALLS)}; codes up to {code_limit()}; torch {torch.__version__}, one thread")
    if headline:
        figures = {
            "int8_speedup_512": headline["INT8"].speedup,
            "int4_speedup_512": headline["INT4"].speedup,
            "int8_static_speedup_512": headline["INT8 static"].speedup,
            "int4_static_speedup_512": headline["INT4 static"].speedup,
            "bf16_speedup_512": headline["bfloat16"].speedup,
            "torchao_int8_speedup_512": headline["torchao int8"].speedup,
            "int8_bytes": headline["INT8"].bytes_share,
            "int4_bytes": headline["INT4"].bytes_share,
        }
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def ways(d_model: int) -> dict[str, nn.Module]:
    """The text family's shape of model, made larger, in each of the ways."""
    config = ModelConfig(
        n_layers=LAYERS, d_model=d_model, n_heads=4, d_head=d_model // 4, d_mlp=4 * d_model, n_ctx=LENGTH,
        d_vocab=VOCABULARY, d_vocab_out=VOCABULARY,
        act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
    )  # fmt: skip
    model = Transformer(config).eval().requires_grad_(False)
    prepared = prepare_model_for_quantization(model)
    with torch.inference_mode():
        prepared(tokens(8, LENGTH))
    return {
        "float32": model,
        "INT8": quantize(model),
        "INT4": quantize(model, 4),
        "INT8 static": quantize(prepared, 8, "static"),
        "INT4 static": quantize(prepared, 4, "static"),
        "bfloat16": copy.deepcopy(model).bfloat16(),
        "torchao int8": torchao_int8(model),
    }


def torchao_int8(model: Transformer) -> nn.Module:
    """torchao knows torch's own Linear, whose weight is [d_out d_in]."""
    own = replace_layers(copy.deepcopy(model), Linear, lambda _, layer: torch_linear(layer)).requires_grad_(False)
    quantize_(own, Int8DynamicActivationInt8WeightConfig())
    return own


def torch_linear(own: Linear) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, *own.weight.shape, bias=own.bias is not None)
    linear.weight = nn.Parameter(own.weight.detach().T.contiguous())
    if own.bias is not None:
        linear.bias = nn.Parameter(own.bias.detach().clone())
    return linear


def bytes_of(model: nn.Module) -> int:
    """Of what is stored; torchao's tensors hold others, and count themselves as if they were float32."""
    tensors = [t for t in model.parameters() if hasattr(t, "__tensor_flatten__")]
    held = sum(getattr(t, name).nbytes for t in tensors for name in t.__tensor_flatten__()[0])
    return stored_bytes(model) - sum(t.nbytes for t in tensors) + held


def tokens(batch: int, length: int) -> Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(batch))


@torch.inference_mode()
def measured(models: dict[str, nn.Module], x: Tensor, rounds: int) -> list[Path]:
    logits = {name: model(x).float() for name, model in models.items()}
    least = least_seconds({name: partial(model, x) for name, model in models.items()}, rounds, repeats=1)
    floats, total = logits["float32"], stored_bytes(models["float32"])
    return [
        Path(
            name,
            least["float32"] / seconds,
            1e3 * seconds,
            bytes_of(models[name]) / total,
            ((logits[name] - floats).norm() / floats.norm()).item(),
            (logits[name].argmax(-1) == floats.argmax(-1)).float().mean().item(),
        )
        for name, seconds in least.items()
    ]


def report(d_model: int, batch: int, length: int, paths: list[Path]) -> None:
    print(f"\nd_model {d_model}, {LAYERS} layers, vocabulary {VOCABULARY}, {batch} x {length} tokens")
    print(f"{'':14}{'ms':>8}{'speed-up':>10}{'bytes':>8}{'error':>8}{'same top token':>16}")
    for path in paths:
        speed = f"{path.milliseconds:8.2f}{path.speedup:9.2f}x"
        print(f"{path.name:14}{speed}{path.bytes_share:8.3f}{path.error:8.3f}{path.agreement:16.2f}")


if __name__ == "__main__":
    main(tuple(int(size) for size in sys.argv[1:]) or SIZES)
