"""Tasks of imported variants, named in params.yaml by `_target_: miscope.imports.ImportedText`, and so on.

A language model comes with the text that it is examined on. Its folder holds one sub-folder for each checkpoint, named
by its step: `step0`, `step1000` (as Pythia's revisions are; Biderman et al. 2023, arXiv:2304.01373), `checkpoint-1000`,
or `1000`. Each is in Hugging Face's layout. Published models of modular addition had splits and tokens of their own.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from miscope.adapters.settings import core_config, read_config
from miscope.core import Context, Examples, MiscopeError, ModelConfig, Recipe, Split
from miscope.families.modulo_addition import ModuloAddition
from miscope.families.text import Text, text_of
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

    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        n_ctx = self.model().n_ctx
        if not 4 <= self.length <= n_ctx:
            raise MiscopeError(f"`length` = {self.length}; allowed: 4 to {n_ctx:,}, the model's positions.")
        n_tokens, needed = len(self._codes()), 100 * self.length
        if n_tokens < needed:
            raise MiscopeError(f"`path` = {self.path!r} has {n_tokens:,} tokens; allowed: {needed:,} or more.")

    @property
    def characters(self) -> str:
        """A blank for each token: none stands for one character."""
        return " " * self.model().d_vocab

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
        return replace(context, basis=Basis("fourier", size, is_native=False), latents=latents)

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
    """Step -> sub-folder, in order of steps; each must have a name that says its step, and no two the same one."""
    models = sorted(path.parent for path in folder.glob("*/config.json"))
    if not models:
        raise MiscopeError(f"`folder` = {str(folder)!r} has no sub-folder with a config.json, such as step1000.")
    folders: dict[int, Path] = {}
    for path in models:
        named = STEP.fullmatch(path.name)
        if named is None:
            raise MiscopeError(f"`folder` = {str(folder)!r}: the name {path.name!r} says no step; allowed: step1000.")
        step = int(named[1])
        if folders.setdefault(step, path) != path:
            raise MiscopeError(f"{path} and {folders[step]} are both of step {step:,}.")
    return dict(sorted(folders.items()))


@lru_cache(maxsize=4)
def _encoded(path: str, tokenizer: Path) -> np.ndarray:
    ids = Tokenizer.from_file(str(tokenizer)).encode(text_of(path), add_special_tokens=False).ids
    return np.array(ids, dtype=np.int64)


@dataclass(frozen=True)
class ShuffledAddition(ModuloAddition):
    """Pairs are split by Python's `random`: all (a, b) in order, shuffled from the seed, the first to train on.

    Source: Nanda et al. 2023, arXiv:2301.05217, released code.
    """

    def _order(self, data_seed: int) -> np.ndarray:
        pairs = list(range(self._n_pairs()))
        random.Random(data_seed).shuffle(pairs)
        return np.array(pairs)


@dataclass(frozen=True)
class PairAddition(ModuloAddition):
    """Tokens `a b` without `=`, all of which see one another; the answer is read at b.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 2. Which pairs their models were trained on is not published
    with the weights: the split is ours.
    """

    def model(self) -> ModelConfig:
        return replace(super().model(), n_ctx=2, d_vocab=self.modulus, is_causal=False)

    def positions(self) -> tuple[int, ...]:
        return (1,)

    def split(self, data_seed: int) -> Split:
        three = super().split(data_seed)
        return Split(*(Examples(part.tokens[:, :2], part.targets) for part in (three.train, three.test)))

    def context(self, data_seed: int) -> Context:
        three = super().context(data_seed)
        probe = replace(three.probe, tokens=three.probe.tokens[:, :2])
        return replace(three, probe=probe, answer_position=1, position_names=("a", "b"))
