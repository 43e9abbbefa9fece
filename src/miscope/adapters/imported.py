"""A model that was trained elsewhere, with the text that it is examined on: the task of an imported variant.

    variants:
      tiny_qwen:
        family: outside
        _target_: miscope.adapters.imported.ImportedText
        folder: ../checkpoints_of_tiny_qwen
        path: corpus.txt

`folder` holds one sub-folder for each checkpoint, named by its step: `step0`, `step1000` (as Pythia's revisions are;
Biderman et al. 2023, arXiv:2304.01373), `checkpoint-1000`, or `1000`. Each is in Hugging Face's layout. The stage that
trains other variants imports this one. DVC does not watch the folder: when it changes, `dvc repro -f train@tiny_qwen`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from miscope.adapters.settings import core_config, read_config
from miscope.core import Context, MiscopeError, ModelConfig, Recipe
from miscope.families._stories import stories
from miscope.families.text import Text
from miscope.maths.spectra import Basis

STEP = re.compile(r"(?:step|checkpoint-)?(\d+)")
MOST_FREQUENCIES = 512  # of a basis over tokens, which have no order: a spectrum of more would fill the memory


@dataclass(frozen=True)
class ImportedText(Text):
    """Crops of a text in the model's own tokens, asked for the next one at every position.

    `path` is best the text that the model was trained on, of which the last tenth was held out; an empty one is the
    stories that come with us. Which of it the model has met, nobody here knows: `train` means the first nine tenths.
    """

    folder: str = ""

    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    def __post_init__(self) -> None:
        n_ctx = self.model().n_ctx
        if not 4 <= self.length <= n_ctx:
            raise MiscopeError(f"`length` = {self.length}; allowed: 4 to {n_ctx:,}, the model's positions.")
        found, needed = len(self._codes()), 100 * self.length
        if found < needed:
            raise MiscopeError(f"`path` = {self.path!r} has {found:,} tokens; allowed: {needed:,} or more.")

    @property
    def characters(self) -> str:
        """The last character of what each token stands for."""
        return _last_characters(self._tokenizer_file())

    def model(self) -> ModelConfig:
        return core_config(read_config(self._first()))

    def recipe(self) -> Recipe:
        """The number of steps is that of the last checkpoint; what else was done is not known here."""
        return Recipe(steps=max(1, *checkpoint_folders(Path(self.folder))), batch_size=1)

    def context(self, data_seed: int) -> Context:
        context = super().context(data_seed)
        tokens = context.probe.tokens
        latents = {"present token": tokens[:, -1], "previous token": tokens[:, -2]}
        size = min(self.model().d_vocab, MOST_FREQUENCIES)
        return replace(context, basis=Basis("fourier", size, is_native=False), latents=MappingProxyType(latents))

    def label(self, seed: int, data_seed: int) -> str:
        return f"imported_{Path(self.folder).name}_d{data_seed}"

    def _codes(self) -> np.ndarray:
        codes = _encoded(self.path, self._tokenizer_file())
        return np.random.default_rng(0).permutation(codes) if self.is_shuffled else codes

    def _first(self) -> Path:
        folders = checkpoint_folders(Path(self.folder))
        return folders[min(folders)]

    def _tokenizer_file(self) -> Path:
        file = self._first() / "tokenizer.json"
        if not file.is_file():
            raise MiscopeError(f"`folder` = {self.folder!r}: {file} does not exist, so no text can be read.")
        return file


def checkpoint_folders(folder: Path) -> dict[int, Path]:
    """Step -> sub-folder, in order of steps.

    Raises:
        MiscopeError: there is none, two are of one step, or one holds a model and its name says no step.
    """
    models = sorted(path.parent for path in folder.glob("*/config.json"))
    if not models:
        raise MiscopeError(f"`folder` = {str(folder)!r} has no sub-folder with a config.json, such as step1000.")
    found: dict[int, Path] = {}
    for path in models:
        step = STEP.fullmatch(path.name)
        if step is None:
            raise MiscopeError(f"`folder` = {str(folder)!r}: the name {path.name!r} says no step; allowed: step1000.")
        if int(step[1]) in found:
            raise MiscopeError(f"{path} and {found[int(step[1])]} are both of step {int(step[1]):,}.")
        found[int(step[1])] = path
    return dict(sorted(found.items()))


@lru_cache(maxsize=4)
def _encoded(path: str, tokenizer: Path) -> np.ndarray:
    try:
        text = Path(path).read_text(encoding="utf-8") if path else stories()
    except (OSError, UnicodeDecodeError) as error:
        raise MiscopeError(f"`path` = {path!r} cannot be read as UTF-8 text: {error}.") from None
    return np.array(Tokenizer.from_file(str(tokenizer)).encode(text, add_special_tokens=False).ids, dtype=np.int64)


@lru_cache(maxsize=4)
def _last_characters(tokenizer: Path) -> str:
    read = Tokenizer.from_file(str(tokenizer))
    return "".join((read.decode([i], skip_special_tokens=False) or " ")[-1] for i in range(read.get_vocab_size()))
