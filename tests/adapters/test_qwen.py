"""Qwen2 and Qwen3 against the library's own model, and the same weights in our own transformer."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hugging_face import write
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from miscope.adapters import QwenAdapter, Tokenizer
from miscope.adapters.huggingface import BACK, TABLE, from_core, to_core
from miscope.adapters.settings import core_config
from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights, weights


@torch.no_grad()
def test_logits_are_the_librarys(folder: Path, qwen: QwenAdapter, tokens: Tensor) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    assert (qwen(tokens) - theirs(tokens).logits).abs().max() <= 1e-6
    assert qwen.get_config() == theirs.config.to_dict()


def test_parameters_are_counted_once_and_all_of_them_train(qwen: QwenAdapter) -> None:
    config = qwen.get_config()
    assert qwen.get_num_parameters() == qwen.model.num_parameters()
    assert qwen.get_num_parameters() == sum(p.numel() for p in qwen.core().parameters())
    head = 0 if config["tie_word_embeddings"] else config["vocab_size"] * config["hidden_size"]
    inside = sum(p.numel() for p in qwen.model.model.parameters())
    assert qwen.get_num_parameters() == inside + head
    next(qwen.parameters()).requires_grad_(False)
    optimizer = torch.optim.AdamW(p for p in qwen.parameters() if p.requires_grad)
    assert len(optimizer.param_groups[0]["params"]) == len(list(qwen.parameters())) - 1


@torch.no_grad()
def test_the_same_weights_in_our_transformer_give_the_same_logits(qwen: QwenAdapter, tokens: Tensor) -> None:
    core = qwen.core()
    assert (core(tokens) - qwen(tokens)).abs().max() <= 1e-5
    assert core.W_pos is None
    one = core(tokens, query_positions=(4,))
    torch.testing.assert_close(one[:, 0], core(tokens)[:, 4], rtol=0, atol=1e-5)


def test_gradients_of_our_transformer_are_the_librarys(qwen: QwenAdapter, tokens: Tensor) -> None:
    core = qwen.core()
    core(tokens).square().mean().backward()
    qwen(tokens).square().mean().backward()
    theirs = dict(qwen.model.named_parameters())
    for name, parameter in core.named_parameters():
        gradient = theirs[_theirs(name)].grad
        gradient = gradient.T if parameter.ndim == 2 and name != "W_E" else gradient
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6, msg=name)


def _theirs(name: str) -> str:
    parts = name.split(".")
    number = parts[1] if parts[0] == "blocks" else ""
    return BACK[name.replace(f".{number}.", ".#.", 1)].replace("#", number)


def test_names_map_both_ways_and_weights_come_back_bit_equal(qwen: QwenAdapter) -> None:
    assert len(BACK) == len(TABLE)
    state = dict(qwen.model.state_dict())
    if qwen.get_config()["tie_word_embeddings"]:
        del state["lm_head.weight"]
    back = from_core(qwen.core())
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


@torch.no_grad()
def test_a_checkpoint_of_ours_holds_each_weight_where_it_acts(qwen: QwenAdapter, tokens: Tensor) -> None:
    core = qwen.core()
    stored = weights(core)
    config = core.config
    shape = (config.n_heads, config.d_model, config.d_head)
    assert stored["blocks.1.attn.W_K"].shape == stored["blocks.1.attn.W_Q"].shape == shape
    assert (stored["blocks.1.attn.W_V"][0] == stored["blocks.1.attn.W_V"][1]).all()  # two heads share them
    assert (stored["blocks.1.attn.W_V"][0] != stored["blocks.1.attn.W_V"][2]).any()
    assert stored["unembed.W_U"].shape == (config.d_model, config.d_vocab_out)
    loaded = load_weights(Transformer(config, seed=5), stored)
    assert torch.equal(loaded(tokens), core(tokens))
    apart = stored | {"blocks.0.attn.W_V": stored["blocks.0.attn.W_V"] + [[[0.0]], [[1.0]], [[0.0]], [[0.0]]]}
    with pytest.raises(MiscopeError, match=r"blocks\.0\.attn\.W_V differs between heads that share it"):
        load_weights(Transformer(config), apart)


def test_tied_embeddings_that_differ_are_refused_and_untied_ones_train_alone(tmp_path: Path) -> None:
    core = QwenAdapter.load_checkpoint(write(tmp_path / "tied", "qwen3", tie_word_embeddings=True)).core()
    stored, tokens = weights(core), torch.arange(6)[None]
    with pytest.raises(MiscopeError, match="embeddings are tied"):
        load_weights(Transformer(core.config), stored | {"unembed.W_U": stored["unembed.W_U"] + 1})
    before = core(tokens).detach()
    assert torch.equal(core.untie()(tokens), before)
    assert not core.config.has_tied_embeddings
    core(tokens).sum().backward()
    assert core.unembed is not None
    assert core.unembed.weight.grad is not None


def test_the_tokenizer_reads_and_writes_any_text(qwen: QwenAdapter) -> None:
    tokenizer = qwen.get_tokenizer()
    assert isinstance(tokenizer, Tokenizer)
    text = "the quick\n\tbrown — föx 狐 🦊"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    ids = tokenizer.encode("<|im_start|>the<|im_end|>")
    assert [ids[0], ids[-1]] == tokenizer.encode("<|im_start|><|im_end|>")


@torch.no_grad()
def test_it_is_saved_with_its_tokenizer_and_loaded_from_the_path_alone(
    qwen: QwenAdapter, tokens: Tensor, tmp_path: Path
) -> None:
    qwen.save_checkpoint(tmp_path / "saved")
    torch.save(qwen(tokens), tmp_path / "logits.pt")
    torch.save(tokens, tmp_path / "tokens.pt")
    script = (
        "import sys, torch; from pathlib import Path; from miscope.adapters import load\n"
        "root = Path(sys.argv[1]); model = load(root / 'saved')\n"
        "assert torch.equal(model(torch.load(root / 'tokens.pt')), torch.load(root / 'logits.pt'))\n"
        "assert model.get_tokenizer().decode(model.get_tokenizer().encode('the fox')) == 'the fox'\n"
        "print(model.get_architecture_type())"
    )
    if qwen.get_config()["model_type"] == "qwen3" and qwen.get_config()["tie_word_embeddings"]:  # one process is enough
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
        assert done.stdout.strip() == "qwen", done.stderr
    again = QwenAdapter.load_checkpoint(tmp_path / "saved")
    assert torch.equal(again(tokens), qwen(tokens))
    again.save_checkpoint(tmp_path / "saved")  # over the one before
    (tmp_path / "mine").mkdir()
    with pytest.raises(MiscopeError, match="holds no adapter's checkpoint"):
        again.save_checkpoint(tmp_path / "mine")


def rewritten(folder: Path, copy: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    """The model of a folder with its weights changed."""
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


FAULTS: dict[str, tuple[Callable[[dict[str, Tensor]], None], str]] = {
    "missing": (lambda state: state.__delitem__("model.norm.weight"), r"1 missing: model\.norm\.weight\."),
    "unknown": (lambda state: state.update(odd=torch.ones(2)), r"1 unknown: odd\."),
    "both": (  # as Qwen1 called it
        lambda state: state.update({"transformer.wte.weight": state.pop("model.embed_tokens.weight")}),
        r"1 missing: model\.embed_tokens\.weight; 1 unknown: transformer\.wte\.weight\.",
    ),
    "of another shape": (lambda state: state.update({"model.norm.weight": torch.ones(31)}), r"cannot be loaded: .*"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_do_not_fit_are_named(fault: str, folder: Path, tmp_path: Path) -> None:
    change, sentence = FAULTS[fault]
    with pytest.raises(MiscopeError, match=sentence):
        QwenAdapter.load_checkpoint(rewritten(folder, tmp_path / "copy", change))


def test_our_transformer_refuses_weights_that_do_not_fit(qwen: QwenAdapter) -> None:
    state, config = from_core(qwen.core()), qwen.core().config
    for stored, settings, sentence in (
        ({n: w for n, w in state.items() if n != "model.norm.weight"}, config, r"1 missing: model\.norm\.weight\."),
        (state | {"model.layers.0.odd": torch.ones(1)}, config, r"1 unknown: model\.layers\.0\.odd\."),
        (state | {"model.norm.weight": torch.ones(3)}, config, r"model\.norm\.weight has shape \(3,\)"),
        (state, replace(config, n_layers=3), "missing"),
    ):
        with pytest.raises(MiscopeError, match=sentence):
            to_core(stored, settings)


def test_other_models_and_what_ours_does_not_compute_are_refused(
    qwen: QwenAdapter, folder: Path, tmp_path: Path
) -> None:
    other = rewritten(folder, tmp_path / "other", lambda state: None)
    (other / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(MiscopeError, match=r"type 'gpt2'; `qwen` takes qwen2, qwen3\.$"):
        QwenAdapter.load_checkpoint(other)
    settings = qwen.get_config()
    for odd in (
        {"model_type": "qwen2_moe"},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"hidden_act": "gelu"},
    ):
        with pytest.raises(MiscopeError, match=rf"does not compute `({'|'.join((*odd, 'rope_type'))})`"):
            core_config(settings | odd)
    with pytest.raises(MiscopeError, match="does not compute `model_type` = gpt2"):  # whose other keys are not Qwen's
        core_config({"model_type": "gpt2", "n_embd": 8})


def test_code_that_comes_with_a_model_is_not_run(folder: Path, tmp_path: Path) -> None:
    copy = rewritten(folder, tmp_path / "copy", lambda state: None)
    settings = json.loads((copy / "config.json").read_text())
    classes = {"AutoConfig": "odd.Config", "AutoModelForCausalLM": "odd.Model"}
    (copy / "config.json").write_text(json.dumps(settings | {"auto_map": classes}))
    (copy / "odd.py").write_text("raise SystemExit('ran')\n")
    assert type(QwenAdapter.load_checkpoint(copy).model).__module__.startswith("transformers.models.qwen")


OURS = {f"blocks.{i}.{name}" for i in range(2) for name in (
    *("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post"),
    *("ln1.hook_scale", "ln1.hook_normalized", "ln2.hook_scale", "ln2.hook_normalized"),
    *(f"attn.hook_{part}" for part in ("q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z")),
    *("mlp.hook_pre", "mlp.hook_pre_linear", "mlp.hook_post"),
)} | {"hook_embed", "ln_final.hook_scale", "ln_final.hook_normalized"}  # fmt: skip


@torch.no_grad()
def test_our_hook_shows_what_transformer_lens_shows_of_the_librarys_model(
    folder: Path, qwen: QwenAdapter, tokens: Tensor
) -> None:
    seen: dict[str, Tensor] = {}
    qwen.core()(tokens, hook=lambda name, x: seen.setdefault(name, x))
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
