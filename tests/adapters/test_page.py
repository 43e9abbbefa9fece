"""The page `docs/adapters.md`: its adapters are made as it says, and hold what they promise."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hugging_face import write
from transformers import AutoModelForCausalLM

from miscope.adapters import adapter_class, load
from miscope.adapters.base import KNOWN
from miscope.adapters.validation import CHECKS, validate_adapter

PAGE = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, Any]]:
    """What stands in the page's Python after all of it has run, but for the first block, which needs a Qwen."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1:]:
        exec(compile(block, "docs/adapters.md", "exec"), names)
    yield names
    del KNOWN["llama-style"]
    del KNOWN["llama"]


def test_the_worked_example_is_registered_and_passes_every_check(page: dict[str, Any], tmp_path: Path) -> None:
    adapter = page["LlamaStyleAdapter"](vocab_size=40)
    assert validate_adapter(adapter) == ()
    assert adapter_class("llama-style") is page["LlamaStyleAdapter"]
    adapter.save_checkpoint(tmp_path / "saved")
    tokens = torch.arange(7)[None]
    assert torch.equal(load(tmp_path / "saved")(tokens), adapter(tokens))


@torch.no_grad()
def test_llamas_own_files_load_by_the_short_one(page: dict[str, Any], tmp_path: Path) -> None:
    folder = write(tmp_path / "llama", "llama")
    adapter, tokens = load(folder), torch.arange(7)[None]
    assert adapter.get_architecture_type() == "llama"
    assert validate_adapter(adapter) == ()
    theirs = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    assert (adapter(tokens) - theirs(tokens).logits).abs().max() <= 1e-6
    assert (adapter.core()(tokens) - theirs(tokens).logits).abs().max() <= 1e-5


def test_the_first_example_says_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write(tmp_path / "models" / "my_qwen", "qwen2")
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0], {})
    assert capsys.readouterr().out.startswith("the quick")


def test_the_page_lists_every_check() -> None:
    assert all(f"`{check}`" in PAGE for check in ("methods", *CHECKS))
