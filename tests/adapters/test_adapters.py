"""Adapters by architecture type, our own transformer behind one, and all of them in the one loop's updates."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from miscope.adapters.base import BaseAdapter
from miscope.adapters.characters import CharacterTokenizer
from miscope.adapters.custom_transformer import CustomTransformerAdapter
from miscope.adapters.generation import generate
from miscope.adapters.qwen import QwenAdapter
from miscope.adapters.registry import adapter_class, architectures, load, register, unregister
from miscope.core import MiscopeError, ModelConfig, Recipe
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.device import Device, device_for
from miscope.training.loss import cross_entropy
from miscope.training.optimization import optimizer
from miscope.training.updates import Updates, moments_of
from miscope.workspace import store

SENTENCE = "the quick brown fox jumps over the lazy dog"
CHARACTERS = CharacterTokenizer("".join(sorted(set(SENTENCE + "\n狐"))))
CONFIG = ModelConfig(
    n_layers=2, d_model=32, n_heads=4, d_head=8, d_mlp=64, n_ctx=48, d_vocab=len(CHARACTERS.characters),
    d_vocab_out=len(CHARACTERS.characters), act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
)  # fmt: skip


def custom(seed: int = 1) -> CustomTransformerAdapter:
    return CustomTransformerAdapter(Transformer(CONFIG, seed), CHARACTERS)


# ---------------------------------------------------------------- by type


def test_adapters_are_found_by_type_and_an_unknown_type_names_those_known() -> None:
    assert adapter_class("qwen") is QwenAdapter
    assert adapter_class("custom-transformer") is CustomTransformerAdapter
    with pytest.raises(MiscopeError, match=r"architecture `gpt`\. Known: custom-transformer, qwen\.$"):
        adapter_class("gpt")


@pytest.fixture
def third_party() -> Iterator[type[BaseAdapter]]:
    class Theirs(CustomTransformerAdapter):
        @classmethod
        def get_architecture_type(cls) -> str:
            return "theirs"

    yield register(Theirs)
    unregister("theirs")


def test_a_third_party_registers_its_own_once(third_party: type[BaseAdapter], tmp_path: Path) -> None:
    assert adapter_class("theirs") is third_party
    assert "theirs" in architectures()
    with pytest.raises(MiscopeError, match="`theirs` has an adapter already, Theirs"):
        register(third_party)
    with pytest.raises(MiscopeError, match="`qwen` has an adapter already, QwenAdapter"):
        register(QwenAdapter)
    third_party(Transformer(CONFIG)).save_checkpoint(tmp_path / "saved")
    assert type(load(tmp_path / "saved")) is third_party


def test_a_folder_tells_which_adapter_it_needs(folder: Path, tmp_path: Path) -> None:
    assert isinstance(load(folder), QwenAdapter)  # in Hugging Face's layout, not written by us
    custom().save_checkpoint(tmp_path / "custom")
    assert isinstance(load(tmp_path / "custom"), CustomTransformerAdapter)
    with pytest.raises(MiscopeError, match=r"No adapter knows what .* holds\. Known: custom-transformer, qwen\.$"):
        load(tmp_path)
    with pytest.raises(MiscopeError, match="is no folder"):
        load(tmp_path / "nothing")


# ---------------------------------------------------------------- our own transformer


@torch.no_grad()
def test_our_transformer_is_wrapped_unchanged() -> None:
    model = Transformer(CONFIG, 1)
    names, tokens = list(model.state_dict()), torch.arange(7)[None]
    adapter = CustomTransformerAdapter(model, CHARACTERS)
    assert adapter.model is model
    assert list(adapter.model.state_dict()) == names
    assert torch.equal(adapter(tokens), model(tokens))
    assert adapter.get_num_parameters() == sum(p.numel() for p in model.parameters())
    assert adapter.get_config()["n_heads"] == 4


@torch.no_grad()
def test_ours_is_loaded_with_its_sizes_and_tokenizer_from_the_path_alone(tmp_path: Path) -> None:
    adapter, tokens = custom(), torch.arange(7)[None]
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


@torch.no_grad()
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_padding_at_the_left_changes_nothing_and_at_the_right_neither(positions: str) -> None:
    adapter = CustomTransformerAdapter(Transformer(replace(CONFIG, positions=positions), 1))
    tokens = torch.arange(18).view(2, 9) % 17
    mask = torch.ones_like(tokens)
    mask[1, :4] = 0
    assert (adapter(tokens, mask)[1, 4:] - adapter(tokens[1:, 4:])[0]).abs().max() <= 1e-5
    assert (adapter(tokens, mask.flip(1))[1, :5] - adapter(tokens[1:, :5])[0]).abs().max() <= 1e-5
    assert (adapter(tokens, mask) - adapter(tokens))[1].abs().max() > 1e-3
    torch.testing.assert_close(adapter(tokens, torch.ones_like(tokens)), adapter(tokens), rtol=0, atol=1e-6)


# ---------------------------------------------------------------- training


@dataclass(frozen=True)
class Sentence:
    """The feed of a training on one sentence: every step sees it all."""

    tokens: Tensor

    def at(self, step: int) -> tuple[list["Sentence"], int]:
        return [self], self.tokens.shape[1] - 1

    def share_of_loss(self, model: BaseAdapter, device: Device, n_answers: int) -> Tensor:
        logits = model(self.tokens[:, :-1], torch.ones_like(self.tokens[:, :-1]))
        return cross_entropy(logits.flatten(0, 1), self.tokens[:, 1:].flatten(), scale=1 / n_answers)


RECIPE = Recipe(steps=60, learning_rate=6e-3, weight_decay=0.01)


def training_of(adapter: BaseAdapter) -> Updates:
    tokenizer, device = adapter.get_tokenizer(), device_for(RECIPE)
    assert tokenizer is not None
    feed = Sentence(torch.tensor([tokenizer.encode(SENTENCE)]))
    return Updates(adapter, optimizer(adapter.parameters(), RECIPE), RECIPE, feed, device)


@pytest.fixture(params=["custom", "qwen2", "qwen3"])
def adapter(request: pytest.FixtureRequest, make: Callable, tmp_path: Path) -> BaseAdapter:
    return custom() if request.param == "custom" else QwenAdapter.load_checkpoint(make(tmp_path / "m", request.param))


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
    state = {name: value.clone() for name, value in run.state().items()}
    expected = [run.advance().item() for _ in range(5)]
    again = training_of(load(tmp_path / "saved"))
    groups = again.optimizer.state_dict()["param_groups"]  # the weights come from the adapter's checkpoint
    again.optimizer.load_state_dict({"state": moments_of(state), "param_groups": groups})
    again.step = 5
    assert [again.advance().item() for _ in range(5)] == expected
