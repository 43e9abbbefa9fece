"""Quantized models: right answers, nothing hidden, and the way back."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miscope.core import MiscopeError, ModelConfig
from miscope.model import Linear, Transformer
from miscope.model.layers import outputs
from miscope.quantization import (
    Quantization,
    Scheme,
    dequantize_model,
    is_model_quantized,
    load_quantized,
    nearest_grid,
    prepare_model_for_quantization,
    quantization_of,
    quantize,
    save_quantized,
    stored_bytes,
)
from miscope.quantization.kernels import CALLS, code_limit
from miscope.quantization.linear import GridLinear, ObservedLinear, QuantLinear

SCHEMES = [Scheme(8), Scheme(4), Scheme(4, group_size=8), Scheme(8, "static"), Scheme(4, "static")]
CONFIG = ModelConfig(
    n_layers=2, d_model=48, n_heads=4, d_head=12, d_mlp=96, n_ctx=16, d_vocab=40, d_vocab_out=40,
    act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
)  # fmt: skip
LINEARS = tuple(f"blocks.{i}.{n}" for i in (0, 1) for n in (*(f"attn.{p}" for p in "qkvo"), "mlp.fc_in", "mlp.fc_out"))
LINEARS += ("unembed",)


def ids(scheme: Scheme) -> str:
    return f"{scheme.bits}-{scheme.mode}-{scheme.group_size}"


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def floats() -> Transformer:
    model, draw = Transformer(CONFIG, 3), torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=draw)
    return model.eval()


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return torch.randint(40, (6, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=SCHEMES, ids=ids)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return request.param


@pytest.fixture
def quantized(floats: Transformer, scheme: Scheme, tokens: Tensor) -> Transformer:
    return made(floats, scheme, tokens)


def made(model: Transformer, scheme: Scheme, tokens: Tensor) -> Transformer:
    prepared = prepare_model_for_quantization(model)
    prepared(tokens)
    return quantize(prepared, scheme.bits, scheme.mode, scheme.group_size)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def test_logits_are_near_those_of_float32_and_every_linear_ran_a_kernel_of_integers(
    floats: Transformer, quantized: Transformer, scheme: Scheme, tokens: Tensor
) -> None:
    quantized(tokens)
    before = CALLS.copy()
    logits = quantized(tokens)
    ran = CALLS - before
    assert logits.shape == (6, 16, 40)
    assert relative_error(logits, floats(tokens)) < (0.03 if scheme.bits == 8 else 0.25)
    assert ran == {layer.kernel: len(LINEARS) for layer in quantized.modules() if isinstance(layer, QuantLinear)}
    assert "float" not in ran


def test_a_layer_computes_what_its_weight_and_its_codes_of_the_input_say(floats: Transformer, scheme: Scheme) -> None:
    """Against float arithmetic on the numbers that the codes stand for; 3 rows, 1 row and none."""
    own = floats.blocks[0].mlp.fc_in
    x = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    grid = GridLinear(own, scheme)
    grid(x)
    layer = quantize(nn.ModuleDict({"l": grid}), scheme.bits, scheme.mode, scheme.group_size)["l"]
    for rows in (x, x[:1], x[:0], x[None], x[:, None]):
        torch.testing.assert_close(layer(rows), grid.eval()(rows), rtol=1e-5, atol=1e-5)


def test_the_future_and_the_rest_of_the_batch_move_nothing(quantized: Transformer, tokens: Tensor) -> None:
    changed = tokens.clone()
    changed[:, 9:] = (tokens[:, 9:] + 1) % 40
    assert torch.equal(quantized(changed)[:, :9], quantized(tokens)[:, :9])
    changed = tokens.clone()
    changed[1:] = (tokens[1:] + 1) % 40
    assert torch.equal(quantized(changed)[0], quantized(tokens)[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_does_not_come_out_as_a_number(quantized: Transformer, bad: float) -> None:
    x = torch.ones(2, 48)
    x[0, 5] = bad
    assert not quantized.blocks[0].mlp.fc_in(x)[0].isfinite().any()


def test_hooks_see_and_change_a_quantized_model(quantized: Transformer, floats: Transformer, tokens: Tensor) -> None:
    seen: dict[str, Tensor] = {}
    expected: dict[str, Tensor] = {}
    looked = quantized(tokens, hook=lambda hook, x: seen.setdefault(hook, x))
    floats(tokens, hook=lambda hook, x: expected.setdefault(hook, x))
    assert seen.keys() == expected.keys()
    post = "blocks.1.mlp.hook_post"
    assert relative_error(seen[post], expected[post]) < 0.25
    assert torch.equal(looked, quantized(tokens))
    edited = quantized(tokens, hook=lambda hook, x: torch.zeros_like(x) if hook == post else x)
    assert not torch.equal(edited, looked)


@torch.enable_grad()
def test_inference_mode_and_its_absence_may_follow_each_other(
    floats: Transformer, scheme: Scheme, tokens: Tensor
) -> None:
    """What is made and kept in the first call must serve the next, and copies of it."""
    model = made(floats, scheme, tokens)
    with torch.inference_mode():
        expected = model(tokens)
    with torch.no_grad():
        assert torch.equal(model(tokens), expected)
        assert torch.equal(copy.deepcopy(model)(tokens), expected)
        model.load_state_dict(model.state_dict())
    assert torch.equal(model(tokens), expected)
    with torch.inference_mode():
        saved = model.state_dict()
    model.load_state_dict(saved)
    assert falls(dequantize_model(model), tokens)


@torch.enable_grad()
def test_a_gradient_through_a_quantized_model_is_refused(quantized: Transformer, tokens: Tensor) -> None:
    with pytest.raises(MiscopeError, match="passes no gradient"):
        quantized(tokens, hook=lambda hook, x: x.requires_grad_() if hook == "hook_embed" else x)


GATED = replace(
    CONFIG, act_fn="silu", normalization="RMS", has_biases=False, positions="rotary", gated_mlp=True,
    n_key_value_heads=2, has_qkv_biases=True,
)  # fmt: skip


def block_input(batch: int = 3) -> Tensor:
    return torch.randn(batch, 16, 48, generator=torch.Generator().manual_seed(batch))


def test_what_layers_give_together_is_what_each_gives_alone(quantized: Transformer) -> None:
    attn, x = quantized.blocks[0].attn, block_input()
    layers = (attn.q, attn.k, attn.v)
    alone, kernels = [layer(x) for layer in layers], [layer.kernel for layer in layers]
    before = {name: value.clone() for name, value in attn.state_dict().items()}
    assert all(map(torch.equal, outputs(x, *layers), alone))
    assert all(map(torch.equal, outputs(x, attn.k, attn.v), alone[1:]))  # some of those that stand together
    assert all(torch.equal(layer(x), out) for layer, out in zip(layers, alone, strict=True))
    assert [layer.kernel for layer in layers] == kernels
    assert all(torch.equal(layer.weight, copy.deepcopy(layer).weight) for layer in layers)
    assert list(attn.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in attn.state_dict().items())
    assert all(map(torch.equal, outputs(x, *layers), alone))


def test_codes_that_stand_together_are_held_once(quantized: Transformer) -> None:
    attn, x = quantized.blocks[0].attn, block_input()
    expected = attn.q.weight
    outputs(x, attn.q, attn.k, attn.v)
    assert not [name for name, _ in attn.q.named_buffers() if name in ("codes", "nibbles", "multipliers")]
    attn.k.state_dict()  # leaves the others
    assert torch.equal(attn.q.weight, expected)
    assert torch.equal(attn.q(x), outputs(x, attn.q, attn.k, attn.v)[0])


def test_reading_some_positions_is_the_same_before_and_after_reading_all(
    floats: Transformer, scheme: Scheme, tokens: Tensor
) -> None:
    model = made(floats, scheme, tokens)
    before = model(tokens, query_positions=(4, 9))
    whole = model(tokens)
    assert torch.equal(model(tokens, query_positions=(4, 9)), before)
    assert torch.equal(model(tokens), whole)
    assert relative_error(before, whole[:, [4, 9]]) < 0.01


def test_a_torch_hook_on_one_of_the_layers_is_called(quantized: Transformer, tokens: Tensor) -> None:
    expected, seen, k = quantized(tokens), [], quantized.blocks[0].attn.k
    handle = k.register_forward_hook(lambda layer, args, out: seen.append((args[0], out)))
    assert torch.equal(quantized(tokens), expected)
    ((x, out),) = seen
    assert torch.equal(k(x), out)
    handle.remove()
    k.register_forward_hook(lambda layer, args, out: 0 * out)
    assert not torch.equal(quantized(tokens), expected)


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_a_gated_model_with_shared_keys_keeps_its_answers(mode: str, tokens: Tensor, tmp_path: Path) -> None:
    model = Transformer(GATED, 3).eval()
    quantized = made(model, Scheme(8, mode), tokens)
    logits = quantized(tokens)
    assert relative_error(logits, model(tokens)) < 0.05
    assert torch.equal(quantized(tokens, hook=lambda hook, x: x), logits)
    mlp, x = quantized.blocks[0].mlp, block_input()
    alone = [copy.deepcopy(layer)(x) for layer in (mlp.fc_gate, mlp.fc_in)]
    assert all(map(torch.equal, outputs(x, mlp.fc_gate, mlp.fc_in), alone))
    save_quantized(tmp_path / "q.safetensors", quantized)
    assert torch.equal(load_quantized(tmp_path / "q.safetensors")(tokens), logits)


def test_layers_with_other_ranges_of_their_input_are_computed_one_by_one(floats: Transformer, tokens: Tensor) -> None:
    """Observed at some positions alone, the last layer's queries have seen less than its keys."""
    prepared = prepare_model_for_quantization(floats)
    prepared(tokens, query_positions=(3,))
    attn, x = quantize(prepared, mode="static").blocks[1].attn, block_input()
    assert not torch.equal(attn.q.input_range, attn.k.input_range)
    alone = [copy.deepcopy(layer)(x) for layer in (attn.q, attn.k, attn.v)]
    assert all(map(torch.equal, outputs(x, attn.q, attn.k, attn.v), alone))


def test_what_a_model_is_can_be_asked(floats: Transformer, quantized: Transformer, scheme: Scheme) -> None:
    assert not is_model_quantized(floats) and quantization_of(floats) is None
    assert is_model_quantized(quantized)
    how = quantization_of(quantized)
    assert how == Quantization(scheme, LINEARS, untied=(), is_qat=False)
    for layer in (quantized.get_submodule(name) for name in LINEARS):
        assert layer.scale.shape == (layer.weight.shape[1],)
    qat = prepare_model_for_quantization(floats, scheme)
    assert not is_model_quantized(qat)
    assert quantization_of(qat) == replace(how, is_qat=True)


def test_a_saved_model_loads_with_bit_equal_logits(quantized: Transformer, tokens: Tensor, tmp_path: Path) -> None:
    save_quantized(tmp_path / "q.safetensors", quantized)
    before = (tmp_path / "q.safetensors").read_bytes()
    quantized(tokens)
    save_quantized(tmp_path / "q.safetensors", quantized)  # after the codes were packed for the kernel
    assert (tmp_path / "q.safetensors").read_bytes() == before
    loaded = load_quantized(tmp_path / "q.safetensors")
    assert quantization_of(loaded) == quantization_of(quantized)
    assert torch.equal(loaded(tokens), quantized(tokens))
    assert torch.equal(copy.deepcopy(loaded)(tokens), quantized(tokens))


def test_another_process_agrees_to_the_bit(floats: Transformer, tokens: Tensor, tmp_path: Path) -> None:
    model = made(floats, Scheme(4), tokens)
    save_quantized(tmp_path / "q.safetensors", model)
    np.save(tmp_path / "tokens.npy", tokens.numpy())
    code = (
        "import sys, numpy as np, torch; from pathlib import Path;"
        "from miscope.quantization import load_quantized; at = Path(sys.argv[1]);"
        "logits = load_quantized(at / 'q.safetensors')(torch.from_numpy(np.load(at / 'tokens.npy')));"
        "np.save(at / 'logits.npy', logits.numpy())"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), model(tokens).numpy())


def test_a_damaged_or_foreign_file_is_refused(floats: Transformer, tokens: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "q.safetensors"
    save_quantized(path, made(floats, Scheme(), tokens))
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    for damaged, sentence in ((content, "is damaged"), (content[:50], "cannot be read")):
        path.write_bytes(damaged)
        with pytest.raises(MiscopeError, match=sentence):
            load_quantized(path)
    with pytest.raises(MiscopeError, match="not quantized"):
        save_quantized(path, floats)


def test_dequantized_is_a_plain_model_of_the_same_weights_that_trains(
    quantized: Transformer, scheme: Scheme, tokens: Tensor
) -> None:
    plain = dequantize_model(quantized)
    assert not is_model_quantized(plain)
    assert {type(m) for n, m in plain.named_modules() if n in LINEARS} == {Linear}
    Transformer(plain.config).load_state_dict(plain.state_dict(), strict=True)
    for name in LINEARS:
        assert torch.equal(plain.get_submodule(name).weight, quantized.get_submodule(name).weight)
    assert relative_error(quantized(tokens), plain(tokens)) < 0.03  # what the activations' 8 bits cost
    assert all(p.requires_grad for p in plain.parameters())
    assert falls(plain, tokens)


def loss(model: Transformer, tokens: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@torch.enable_grad()
def falls(model: Transformer, tokens: Tensor, steps: int = 15) -> bool:
    """Whether training lowers the loss by a fifth."""
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(loss(model, tokens))
        losses[-1].backward()
        optimizer.step()
    return losses[-1].item() < 0.8 * losses[0].item()


def test_nothing_is_done_to_the_model_that_was_given(floats: Transformer, tokens: Tensor) -> None:
    before = {name: value.clone() for name, value in floats.state_dict().items()}
    made(floats, Scheme(), tokens)
    assert floats.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in floats.state_dict().items())


def test_a_tied_unembedding_is_untied_and_that_is_said(tokens: Tensor) -> None:
    tied = Transformer(replace(CONFIG, has_tied_embeddings=True, has_biases=False), 3)
    for model in (quantize(tied), quantize(prepare_model_for_quantization(tied, Scheme()))):
        how = quantization_of(model)
        assert how is not None
        assert (how.untied, how.layers) == (("unembed",), LINEARS)
        assert torch.equal(model.W_E, tied.W_E)
        assert relative_error(model(tokens), tied(tokens)) < 0.03


def test_bytes_at_d_model_512() -> None:
    """Two layers and the vocabulary of the text to be measured; all tensors count."""
    config = ModelConfig(
        n_layers=2, d_model=512, n_heads=4, d_head=128, d_mlp=2048, n_ctx=128, d_vocab=512, d_vocab_out=512,
        act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
    )  # fmt: skip
    model = Transformer(config)
    total = sum(parameter.nbytes for parameter in model.parameters())
    assert stored_bytes(model) == total
    assert stored_bytes(quantize(model)) <= 0.32 * total
    four = quantize(model, 4)
    assert stored_bytes(four) <= 0.20 * total
    layer = four.blocks[0].mlp.fc_in
    assert layer.nibbles.nbytes + layer.multipliers.nbytes <= 0.55 * layer.weight.numel()


def test_a_prepared_model_computes_as_before_and_watches_every_linear(floats: Transformer, tokens: Tensor) -> None:
    prepared = prepare_model_for_quantization(floats)
    layers = {name: m for name, m in prepared.named_modules() if isinstance(m, ObservedLinear)}
    assert tuple(layers) == LINEARS
    assert torch.equal(prepared(tokens[:1]), floats(tokens[:1]))
    first = {name: (m.low.item(), m.high.item()) for name, m in layers.items()}
    prepared(tokens)
    assert all(m.low <= first[name][0] and m.high >= first[name][1] for name, m in layers.items())
    assert any(m.low < first[name][0] for name, m in layers.items())


@pytest.mark.parametrize(
    "ask",
    [
        (lambda m: quantize(quantize(m)), "is quantized already"),
        (lambda m: prepare_model_for_quantization(quantize(m)), "is prepared or quantized already"),
        (dequantize_model, "is not quantized"),
        (lambda m: quantize(prepare_model_for_quantization(m, Scheme(4))), "was trained for"),
        (lambda m: quantize(m, mode="static"), "needs ranges: run"),
        (lambda m: quantize(prepare_model_for_quantization(m), mode="static"), "has seen no input"),
        (lambda m: quantize(m, 3), "`bits` = 3; allowed: 8, 4"),
        (lambda m: quantize(m, mode="fast"), "`mode` = 'fast'; allowed: dynamic, static"),
        (lambda m: quantize(m, require_speedup=1e3), "as fast as float32 on 1 x 16 tokens; `require_speedup` = 1000"),
        (lambda m: quantize(nn.ReLU()), "no Linear to replace"),
    ],
    ids=lambda ask: ask[1][:25],
)
def test_what_cannot_be_is_refused(floats: Transformer, ask: tuple[Callable, str]) -> None:
    with pytest.raises(MiscopeError, match=ask[1]):
        ask[0](floats)


def test_training_on_the_grid_runs_on_the_grid_that_is_quantized_to(
    floats: Transformer, scheme: Scheme, tokens: Tensor
) -> None:
    """The weights are equal to the bit; logits differ where a sum's last bit moves an activation to the next code."""
    qat = prepare_model_for_quantization(floats, scheme).train()
    assert falls(qat, tokens)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in qat.parameters())
    quantized = quantize(qat.eval(), scheme.bits, scheme.mode, scheme.group_size)
    assert relative_error(quantized(tokens), qat(tokens)) < 0.01
    plain = dequantize_model(quantized)
    again = quantize(plain, scheme.bits, "dynamic", scheme.group_size)
    if scheme.bits == 8:  # what lies on the grid stays there
        for name in LINEARS:
            torch.testing.assert_close(again.get_submodule(name).weight, plain.get_submodule(name).weight)


def test_training_at_four_bits_repairs_what_quantizing_after_training_breaks(tokens: Tensor) -> None:
    """A memorised batch: the loss of 4 bits after training, against 4 bits trained a little further."""
    model = Transformer(CONFIG, 5)
    for _ in range(4):
        falls(model, tokens, 25)
    after = loss(quantize(model, 4, group_size=48), tokens)
    qat = prepare_model_for_quantization(model, Scheme(4, group_size=48))
    falls(qat, tokens, 25)
    assert loss(quantize(qat, 4, group_size=48), tokens) < 0.8 * after


@pytest.mark.parametrize("bits", [8, 4])
def test_the_grid_that_instruments_ask_is_that_of_the_quantized_model(floats: Transformer, bits: int) -> None:
    quantized = quantize(floats, bits)
    for name in LINEARS:
        expected = nearest_grid(floats.get_submodule(name).weight.numpy(), bits, limit=code_limit()).weight
        np.testing.assert_array_equal(quantized.get_submodule(name).weight.numpy(), expected)


def test_torchao_agrees_on_the_codes_and_the_product() -> None:
    """Its symmetric int8 with a scale per output and per row of activations, which is our dynamic INT8."""
    torchao = pytest.importorskip("torchao.quantization")
    draw = torch.Generator().manual_seed(0)
    own, theirs = Linear(96, 64, has_bias=True), nn.Linear(96, 64)
    own.weight.copy_(torch.randn(96, 64, generator=draw))
    own.bias.copy_(torch.randn(64, generator=draw))
    theirs.weight.copy_(own.weight.T)
    theirs.bias.copy_(own.bias)
    model = nn.Sequential(theirs)
    torchao.quantize_(model, torchao.Int8DynamicActivationInt8WeightConfig())
    x = torch.randn(20, 96, generator=draw)
    layer = quantize(nn.Sequential(own))[0]
    if int(layer._codes().max()) < 127:
        pytest.skip("this processor gives our weights 7 bits")
    step = layer.scale.max()
    assert (model[0].weight.dequantize().T - layer.weight).abs().max() <= step  # each is half a step from the truth
    assert relative_error(layer(x), model(x)) < 0.012
    assert relative_error(layer(x), own(x)) < 1.1 * relative_error(model(x), own(x))
