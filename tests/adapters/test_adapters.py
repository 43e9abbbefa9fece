"""Adapters by architecture type, our own transformer behind one, and all of them moved by the one Trainer."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hugging_face import write
from torch import Tensor

from miscope.adapters import (
    BaseAdapter,
    CharacterTokenizer,
    CustomTransformerAdapter,
    QwenAdapter,
    adapter_class,
    generate,
    load,
    register,
)
from miscope.adapters.base import KNOWN
from miscope.core import MiscopeError, ModelConfig, Recipe
from miscope.model import Transformer
from miscope.model.weights import weights
from miscope.training.device import device_for
from miscope.training.optimization import cross_entropy, optimizer_for
from miscope.training.trainer import Model, Stretch, Trainer, restore, state_of
from miscope.workspace import store

SENTENCE = "the quick brown fox jumps over the lazy dog"
CHARACTERS = CharacterTokenizer("".join(sorted(set(SENTENCE + "\n狐"))))
CONFIG = ModelConfig(
    n_layers=2, d_model=32, n_heads=4, d_head=8, d_mlp=64, n_ctx=48, d_vocab=len(CHARACTERS.characters),
    d_vocab_out=len(CHARACTERS.characters), act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
)  # fmt: skip


def custom(seed: int = 1) -> CustomTransformerAdapter:
    return CustomTransformerAdapter(Transformer(CONFIG, seed), CHARACTERS)


def test_adapters_are_found_by_type_and_an_unknown_type_names_those_known() -> None:
    assert adapter_class("qwen") is QwenAdapter
    assert adapter_class("custom-transformer") is CustomTransformerAdapter
    with pytest.raises(MiscopeError, match=r"architecture `gpt`\. Known: custom-transformer, qwen\.$"):
        adapter_class("gpt")
    with pytest.raises(MiscopeError, match=r"architecture `qwen3`\. Did you mean `qwen`\?$"):
        adapter_class("qwen3")


@pytest.fixture
def third_party() -> Iterator[type[BaseAdapter]]:
    class Theirs(CustomTransformerAdapter):
        @classmethod
        def get_architecture_type(cls) -> str:
            return "theirs"

    yield register(Theirs)
    del KNOWN["theirs"]


def test_a_third_party_registers_its_own_once(third_party: type[BaseAdapter], tmp_path: Path) -> None:
    assert adapter_class("theirs") is third_party
    assert "theirs" in KNOWN
    with pytest.raises(MiscopeError, match="`theirs` has an adapter already, Theirs"):
        register(third_party)
    with pytest.raises(MiscopeError, match="`qwen` has an adapter already, QwenAdapter"):
        register(QwenAdapter)
    third_party(Transformer(CONFIG)).save_checkpoint(tmp_path / "saved")
    assert type(load(tmp_path / "saved")) is third_party


def test_a_folder_tells_which_adapter_it_needs(folder: Path, tmp_path: Path) -> None:
    qwen = load(folder)  # in Hugging Face's layout, not written by us
    assert isinstance(qwen, QwenAdapter)
    assert not any(module.training for module in qwen.modules())  # and so it stays when somebody restores the mode
    custom().save_checkpoint(tmp_path / "custom")
    assert isinstance(load(tmp_path / "custom"), CustomTransformerAdapter)
    with pytest.raises(MiscopeError, match=r"No adapter knows what .* holds\. Known: custom-transformer, qwen\.$"):
        load(tmp_path)
    with pytest.raises(MiscopeError, match="is no folder"):
        load(str(tmp_path / "nothing"))


@torch.no_grad()
def test_our_transformer_is_wrapped_unchanged_and_loaded_from_the_path_alone(tmp_path: Path) -> None:
    model, tokens = Transformer(CONFIG, 1), torch.arange(7)[None]
    names, adapter = list(model.state_dict()), CustomTransformerAdapter(model, CHARACTERS)
    assert adapter.model is model
    assert list(adapter.model.state_dict()) == names
    assert torch.equal(adapter(tokens), model(tokens))
    assert adapter.get_num_parameters() == sum(p.numel() for p in model.parameters())
    assert adapter.get_config()["n_heads"] == 4
    adapter.save_checkpoint(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert torch.equal(again(tokens), adapter(tokens))
    assert again.get_config() == adapter.get_config()
    tokenizer = again.get_tokenizer()
    assert tokenizer is not None
    assert tokenizer.decode(tokenizer.encode("the 狐\nfox")) == "the 狐\nfox"
    with pytest.raises(MiscopeError, match="The text has '!'"):
        tokenizer.encode("fox!")


@torch.no_grad()
def test_one_checkpoint_of_a_variant_loads_too(tmp_path: Path) -> None:
    model = Transformer(CONFIG, 3)
    store.save_checkpoint(tmp_path / "000100.safetensors", 100, CONFIG, weights(model), "key")
    adapter = CustomTransformerAdapter.load_checkpoint(tmp_path / "000100.safetensors")
    assert torch.equal(adapter(torch.arange(5)[None]), model(torch.arange(5)[None]))


@pytest.fixture(params=["learned", "rotary", "qwen2", "qwen3", "qwen3 in our transformer"])
def padding_reader(request: pytest.FixtureRequest, tmp_path: Path) -> BaseAdapter:
    kind, _, is_core = request.param.partition(" ")
    if kind in ("learned", "rotary"):
        return CustomTransformerAdapter(Transformer(replace(CONFIG, positions=kind), 1))
    qwen = QwenAdapter.load_checkpoint(write(tmp_path / "m", kind))
    return CustomTransformerAdapter(qwen.core()) if is_core else qwen


@torch.no_grad()
def test_padding_at_the_left_changes_nothing_and_at_the_right_neither(padding_reader: BaseAdapter) -> None:
    adapter, tokens = padding_reader, torch.arange(18).view(2, 9) % 17
    mask = torch.ones_like(tokens)
    mask[1, :4] = 0
    together = adapter(tokens.where(mask.bool(), 0), mask)
    assert together.isfinite().all()
    assert (together[1, 4:] - adapter(tokens[1:, 4:])[0]).abs().max() <= 1e-5
    assert (together[0] - adapter(tokens[:1])[0]).abs().max() <= 1e-5
    assert (adapter(tokens, mask.flip(1))[1, :5] - adapter(tokens[1:, :5])[0]).abs().max() <= 1e-5
    assert (adapter(tokens, mask) - adapter(tokens))[1].abs().max() > 1e-3
    torch.testing.assert_close(adapter(tokens, torch.ones_like(tokens)), adapter(tokens), rtol=0, atol=1e-6)


RECIPE = Recipe(steps=60, learning_rate=6e-3, weight_decay=0.01)


def training_of(adapter: BaseAdapter) -> Trainer:
    """On one sentence: every step sees it all."""
    tokenizer, optimizer = adapter.get_tokenizer(), optimizer_for(adapter.parameters(), RECIPE)
    assert tokenizer is not None
    tokens = torch.tensor([tokenizer.encode(SENTENCE)])

    def losses(step: int) -> Iterator[Tensor]:
        logits, targets = adapter(tokens[:, :-1], torch.ones_like(tokens[:, :-1])), tokens[:, 1:].flatten()
        yield cross_entropy(logits.flatten(0, 1), targets, scale=1 / len(targets))

    def restored(state: Mapping[str, Tensor]) -> None:
        restore(adapter, optimizer, state)

    model = Model(lambda step: None, lambda *_: None, lambda: state_of(adapter, optimizer), restored)
    return Trainer([model], adapter, [optimizer], [Stretch(0, (RECIPE,), losses)], device_for(RECIPE))


@pytest.fixture(params=["custom", "qwen2", "qwen3"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> BaseAdapter:
    return custom() if request.param == "custom" else QwenAdapter.load_checkpoint(write(tmp_path / "m", request.param))


def test_one_loop_teaches_every_architecture_a_sentence_that_it_then_says(adapter: BaseAdapter) -> None:
    run, tokenizer = training_of(adapter), adapter.get_tokenizer()
    assert tokenizer is not None
    losses = [run.advance().item() for _ in range(RECIPE.steps)]
    assert losses[0] > 0.5 * math.log(adapter.get_config()["vocab_size"])
    assert losses[-1] < 0.1
    assert all(p.grad is not None for p in adapter.parameters())
    prompt = torch.tensor([tokenizer.encode("the quick")])
    rest = len(tokenizer.encode(SENTENCE)) - prompt.shape[1]
    assert tokenizer.decode(generate(adapter, prompt, max_new_tokens=rest)[0].tolist()) == SENTENCE


def test_a_training_goes_on_from_a_checkpoint_with_identical_losses(adapter: BaseAdapter, tmp_path: Path) -> None:
    run = training_of(adapter)
    for _ in range(5):
        run.advance()
    adapter.save_checkpoint(tmp_path / "saved")
    state = {name: value.clone() for name, value in run.models[0].state().items()}
    expected = [run.advance().item() for _ in range(5)]
    loaded = load(tmp_path / "saved")
    assert all(torch.equal(value, state[f"model.{name}"]) for name, value in loaded.state_dict().items())
    again = training_of(loaded)
    again.restore(5, [state])
    assert [again.advance().item() for _ in range(5)] == expected
