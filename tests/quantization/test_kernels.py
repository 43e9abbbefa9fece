"""Kernels against exact arithmetic, here and on processors that this one is told to be."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from miscope.quantization.kernels import CALLS, Kernel, cast_for, code_limit, kernel_for, prepacked, product

KERNELS: tuple[Kernel, ...] = ("onednn", "int_mm", "float")

ELSEWHERE = """
import json, torch
from miscope.model import Linear
from miscope.quantization.grid import Scheme, nearest_grid
from miscope.quantization.kernels import code_limit
from miscope.quantization.linear import QuantLinear, grid_of

torch.set_grad_enabled(False)
own = Linear(96, 32, has_bias=True)
torch.nn.init.constant_(own.weight, 1.0)
x, errors, kernels = torch.ones(3, 96), {}, {}
for bits in (8, 4):
    scheme = Scheme(bits)
    here = QuantLinear.of(own, grid_of(own, scheme), scheme, None)
    full = QuantLinear.of(own, nearest_grid(own.weight.detach().numpy(), bits), scheme, None)  # made where 127 is right
    for name, layer in (("here", here), ("full", full)):
        errors[f"{name} {bits}"] = float((layer(x) - own(x)).abs().max())
        kernels[f"{name} {bits}"] = layer.kernel
print(json.dumps({"limit": code_limit(), "errors": errors, "kernels": kernels}))
"""


def codes(*shape: int, largest: int = 127) -> Tensor:
    draw = torch.Generator().manual_seed(sum(shape))
    return torch.randint(-largest, largest + 1, shape, generator=draw, dtype=torch.int8)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1, 64, 16), (2, 64, 16), (7, 5, 3), (1, 1, 1), (33, 130, 40)])
def test_every_kernel_multiplies_exactly(kernel: Kernel, shape: tuple[int, int, int]) -> None:
    rows, d_in, d_out = shape
    if kernel_for(63, (kernel,)) != kernel:
        pytest.skip(f"this machine has no exact {kernel}")
    x, weight = codes(rows, d_in), codes(d_in, d_out, largest=code_limit())
    alpha = torch.linspace(0.5, 2, d_out)
    expected = (x.double() @ weight.double()) * alpha
    for beta in (None, torch.ones(d_out)):
        form = prepacked(weight) if kernel == "onednn" else weight
        out = product(cast_for(x, kernel), form, alpha, beta, kernel)
        torch.testing.assert_close(out.double(), expected + (0 if beta is None else 1), rtol=1e-6, atol=1e-5)


def test_one_row_of_odd_strides_is_no_garbage() -> None:
    """Strides for which torch's own integer product of one row is wrong."""
    weight, row = codes(64, 16, largest=63), codes(64, 1)
    for x in (row.T, row.T.contiguous().as_strided((1, 64), (1, 1)), row[:1].expand(1, 64)):
        out = product(x, weight, torch.ones(16), None, "int_mm")
        assert torch.equal(out.double(), x.double() @ weight.double())


def test_a_layout_has_the_size_of_its_codes_and_gives_them_back_and_the_probe_counts_as_no_call() -> None:
    weight, before = codes(64, 48), CALLS.copy()
    assert torch.equal(prepacked(weight).to_dense(), weight)
    kernel_for(127)
    assert before == CALLS


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN to tell what it runs on")
@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE_AMX"])
def test_a_processor_without_vnni_gets_seven_bits_and_the_right_answer(isa: str) -> None:
    """AVX2 saturates on the largest codes; a weight made for full codes then runs in floats there, and right."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], env=environment, capture_output=True, text=True, check=True)
    there = json.loads(run.stdout.splitlines()[-1])
    assert max(there["errors"].values()) < 1e-4, there
    if isa == "AVX2":
        assert there["limit"] == 63
        assert there["kernels"] == {"here 8": "onednn", "full 8": "float", "here 4": "int_mm", "full 4": "float"}
    else:
        assert there["limit"] == code_limit()
