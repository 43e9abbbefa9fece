"""The next character of a text: a small language model, on a file of one's own or on the stories that come with us.

The loss falls in stages: first to how frequent each character is, then to pairs of characters, then to words and to
names that have occurred before, for which attention is needed.

Source: Hoogland et al. 2024, arXiv:2402.02364 (stages of a two-layer language model: bigrams, n-grams, previous-token
heads, induction heads); the task is that of Karpathy 2015, "The Unreasonable Effectiveness of Recurrent Neural
Networks".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis

N_EXAMPLES = 128  # in the fixed sample of the stream, and in the test
MOST_CHARACTERS = 1024


@dataclass(frozen=True)
class Text(Family):
    """Crops of the text, asked for the next character at every position; the last tenth is kept for the test.

    Token n is the n-th of the text's characters in their order in Unicode. An empty `path` is `stories`.
    """

    # no accuracy solves a text: at most places several characters are right, so 1.01 and 0 nats are never reached
    solved_accuracy: ClassVar[float] = 1.01
    solved_loss: ClassVar[float] = 0.0
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Shuffled characters teach how frequent each is and nothing more.": {"is_shuffled": True}
    }

    path: str = ""
    length: int = 64
    is_shuffled: bool = False

    def __post_init__(self) -> None:
        if not 4 <= self.length <= 1024:
            raise MiscopeError(f"`length` = {self.length}; allowed: 4 to 1024.")
        n, least = len(self._codes()), 100 * self.length
        if n < least:
            raise MiscopeError(
                f"`path` = {self.path!r} has {n:,} characters; allowed: {least:,} or more (100 times `length`)."
            )
        if not 2 <= len(self.characters) <= MOST_CHARACTERS:
            raise MiscopeError(
                f"`path` = {self.path!r} has {len(self.characters):,} different "
                f"character{'s' * (len(self.characters) > 1)}; allowed: 2 to {MOST_CHARACTERS:,}."
            )

    @property
    def characters(self) -> str:
        """The character that each token stands for."""
        return self._text()[0]

    def model(self) -> ModelConfig:
        n = len(self.characters)
        return ModelConfig(
            n_layers=2, d_model=64, n_heads=4, d_head=16, d_mlp=256, n_ctx=self.length, d_vocab=n, d_vocab_out=n,
            act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=1200, learning_rate=3e-3, weight_decay=0.1, batch_size=16)

    def positions(self) -> tuple[int, ...]:
        return tuple(range(self.length))

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples:
        return self._crops(np.random.default_rng([data_seed, 1, step]), self._parts()[0], batch_size)

    def split(self, data_seed: int) -> Split:
        rng = np.random.default_rng([data_seed, 2])
        train, test = (self._crops(rng, part, N_EXAMPLES) for part in self._parts())
        known = {row.tobytes() for row in train.tokens}
        is_new = np.array([row.tobytes() not in known for row in test.tokens])
        if not is_new.any():
            raise MiscopeError(f"`path` = {self.path!r} repeats itself: its last tenth stands in what is trained on.")
        return Split(train, test.take(is_new))

    def context(self, data_seed: int) -> Context:
        split = self.split(data_seed)
        tokens = np.concatenate([split.train.tokens, split.test.tokens])
        following = np.concatenate([split.train.targets, split.test.targets])
        is_train, answers = np.arange(len(tokens)) < len(split.train), following[:, -1]
        common, second = np.argsort(-np.bincount(self._codes()), kind="stable")[:2]
        distractors = np.where(answers == common, second, common)
        return Context(
            probe=Probe(tokens, answers, is_train, distractors=distractors, following=following),
            answer_position=self.length - 1, basis=Basis("fourier", len(self.characters), is_native=False),
            latents={
                "present character": tokens[:, -1], "previous character": tokens[:, -2],
                "letters since the word began": self._letters_since(tokens),
            },
            solved_accuracy=self.solved_accuracy, solved_loss=self.solved_loss,
        )  # fmt: skip

    def label(self, seed: int, data_seed: int) -> str:
        name = Path(self.path).stem or "stories"
        return f"text_{name}{'_shuffled' if self.is_shuffled else ''}_s{seed}_d{data_seed}"

    def _text(self) -> tuple[str, np.ndarray]:
        try:
            stamp = Path(self.path).stat().st_mtime_ns if self.path else 0
        except OSError:
            stamp = 0  # `text_of` says what is wrong
        return _characters_and_codes(self.path, self.is_shuffled, stamp)

    def _codes(self) -> np.ndarray:
        return self._text()[1]

    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The first nine tenths of the text, and the last."""
        codes = self._codes()
        return codes[: len(codes) * 9 // 10], codes[len(codes) * 9 // 10 :]

    def _crops(self, rng: np.random.Generator, codes: np.ndarray, n: int) -> Examples:
        starts = rng.integers(len(codes) - self.length, size=n)
        windows = codes[starts[:, None] + np.arange(self.length + 1)].astype(np.int64)
        return Examples(windows[:, :-1], windows[:, 1:])

    def _letters_since(self, tokens: np.ndarray) -> np.ndarray:
        """How many letters stand at the end of each row, at most 15."""
        is_letter = np.array([character.isalpha() for character in self.characters])[tokens[:, ::-1]]
        return np.minimum(np.cumprod(is_letter, axis=1).sum(axis=1), 15)


@lru_cache(maxsize=4)
def _characters_and_codes(path: str, is_shuffled: bool, stamp: int) -> tuple[str, np.ndarray]:
    """The characters of a text, sorted, and the text as their numbers; `stamp` tells a file from what it was before."""
    characters, codes = np.unique(np.array(list(text_of(path))), return_inverse=True)
    return "".join(characters), np.random.default_rng(0).permutation(codes) if is_shuffled else codes


def text_of(path: str) -> str:
    """The text of a file, in UTF-8; the stories, if the path is empty."""
    try:
        return Path(path).read_text(encoding="utf-8") if path else stories()
    except FileNotFoundError:
        raise MiscopeError(f"`path` = {path!r} does not exist; it is looked for from {Path.cwd()}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MiscopeError(f"`path` = {path!r} cannot be read as UTF-8 text: {error}.") from None


# ---------------------------------------------------------------- stories from a small grammar

N_CHARACTERS, SEED = 300_000, 0

WORDS = {
    "adjective": "old small red green heavy empty broken bright quiet strange golden wooden dusty warm icy round "
    "narrow clever unusual ordinary blue silver hungry tired",
    "noun": "boat lamp basket kettle ladder window apple letter drum coat stone bell bucket cart rope map key mirror "
    "orange umbrella candle wheel blanket hammer egg garden bridge fence",
    "animal": "dog fox owl goat crow horse hen mouse otter donkey",
    "weather": "raining snowing hot cold dark windy foggy",
    "time": "morning evening night afternoon winter spring summer autumn",
    "way": "slowly quickly carefully loudly softly gladly",
    "verb": "painted carried lost sold found cleaned mended hid borrowed washed dropped kept",
    "say": "said asked cried whispered answered",
    "number": "one two three four five six seven eight nine ten eleven twelve",
    "start": "br d f h k l m n p r t v z tr st",
    "vowel": "a e i o u ai ea oo",
    "end": "l n r m th nd lly na ro",
}
CHOICES = {kind: tuple(words.split()) for kind, words in WORDS.items()}
ROLES = (
    ("he", "him", "his", "was", "man"),
    ("she", "her", "her", "was", "woman"),
    ("they", "them", "their", "were", ""),
)

OPENINGS = (
    "{name} lived in {place}, near the {adjective} {noun}.",
    "Once there was {a person} called {name} who came from {place}.",
    "It was {weather} that {time} in {place}, and {name} was at home.",
    "In the {time} {name} walked to {place} with {count}.",
)
MIDDLES = (
    "{he} had {a thing} and {count}.",
    "{name} {verb} {his} {adjective} {noun} {way}.",
    '"Where is my {wish}?" asked {name}.',
    '"I do not know," {say} {friend}. "Ask the {animal}."',
    "{friend} gave {him} {a wish}.",
    "Then {a animal} came out of the {noun} and looked at {name}.",
    "{name} and {friend} went to {place} to look for the {wish}.",
    '"Bring me {count}," {say} {friend}, "and I will give you the {wish}."',
    "{he} {was} {adjective}, because it was {weather} in {place}.",
    "On the way {he} met {friend}, who {verb} {count}.",
    "The {animal} {verb} the {wish} and ran away {way}.",
    '{friend} laughed. "You have {count}, {name}!"',
    "That {time} {he} {was} alone with the {animal}.",
    "{he} counted: {number}, {number}, {number}.",
    "For {count of day} {name} {verb} nothing at all.",
    '"It is {weather}," {say} the {animal} {way}.',
)
ENDINGS = (
    "At last {name} found the {wish}, and {he} {was} happy.",
    "{name} never saw the {wish} again.",
    "So {friend} kept the {wish}, and {name} went home to {place}.",
    "And that is how {name} of {place} got {his} {wish}.",
)


@lru_cache(maxsize=1)
def stories() -> str:
    """About 300,000 characters of simple English, one story a paragraph, the same on every machine.

    Names and places are made of syllables anew for every story and then return, so that the text before tells them;
    verbs agree with who acts, articles with what follows, plurals with numbers, and what is fetched is what was asked.
    """
    rng = np.random.default_rng(SEED)
    parts: list[str] = []
    n = 0
    while n < N_CHARACTERS:
        parts.append(_story(rng))
        n += len(parts[-1]) + 2
    return "\n\n".join(parts) + "\n"


def _story(rng: np.random.Generator) -> str:
    he, him, his, was, person = ROLES[rng.integers(len(ROLES))]
    cast = {"name": _name(rng), "friend": _name(rng), "place": _name(rng), "wish": _pick(rng, "noun"), "he": he}
    cast |= {"him": him, "his": his, "was": was, "person": person or "person"}
    middle = [MIDDLES[i] for i in rng.integers(len(MIDDLES), size=rng.integers(3, 9))]
    told = [OPENINGS[rng.integers(len(OPENINGS))], *middle, ENDINGS[rng.integers(len(ENDINGS))]]
    return " ".join(_sentence(rng, template, cast) for template in told)


def _sentence(rng: np.random.Generator, template: str, cast: dict[str, str]) -> str:
    """The template with every slot filled, by the story's cast where it has one, and a capital in front."""
    text = re.sub(r"\{([a-z ]+)\}", lambda slot: _filled(slot[1], rng, cast), template)
    return text[0].upper() + text[1:]


def _filled(slot: str, rng: np.random.Generator, cast: dict[str, str]) -> str:
    article, _, kind = slot.rpartition(" ")
    if slot.startswith("count"):
        number, noun = _pick(rng, "number"), "day" if kind == "day" else _pick(rng, "noun")
        return f"{number} {noun}" if number == "one" else f"{number} {noun}s"
    word = cast.get(kind) or _pick(rng, "noun" if kind == "thing" else kind)
    if not article:
        return word
    word = f"{_pick(rng, 'adjective')} {word}"
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _name(rng: np.random.Generator) -> str:
    syllables = (_pick(rng, "start") + _pick(rng, "vowel") for _ in range(rng.integers(1, 3)))
    return ("".join(syllables) + _pick(rng, "end")).capitalize()


def _pick(rng: np.random.Generator, kind: str) -> str:
    choices = CHOICES[kind]
    return choices[rng.integers(len(choices))]


family = Text
