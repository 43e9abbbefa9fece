"""Simple English stories from a small grammar: a text of our own to learn characters from, the same on every machine.

Names and places are made of syllables anew for every story and then return, so that the text before tells them; verbs
agree with who acts, articles with what follows, plurals with numbers, and what is fetched is what was asked for.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from miscope.core import MiscopeError

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
    """About 300,000 characters of stories, one paragraph each."""
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

    def filled(slot: re.Match[str]) -> str:
        article, _, kind = slot[1].rpartition(" ")
        if slot[1].startswith("count"):
            number, noun = _pick(rng, "number"), "day" if kind == "day" else _pick(rng, "noun")
            return f"{number} {noun}" if number == "one" else f"{number} {noun}s"
        word = cast.get(kind) or _pick(rng, "noun" if kind == "thing" else kind)
        if not article:
            return word
        word = f"{_pick(rng, 'adjective')} {word}"
        return f"an {word}" if word[0] in "aeiou" else f"a {word}"

    text = re.sub(r"\{([a-z ]+)\}", filled, template)
    return text[0].upper() + text[1:]


def _name(rng: np.random.Generator) -> str:
    syllables = (_pick(rng, "start") + _pick(rng, "vowel") for _ in range(rng.integers(1, 3)))
    return ("".join(syllables) + _pick(rng, "end")).capitalize()


def _pick(rng: np.random.Generator, kind: str) -> str:
    choices = CHOICES[kind]
    return choices[rng.integers(len(choices))]


def text_as_codes(path: str, is_shuffled: bool = False) -> tuple[str, np.ndarray]:
    """The characters of a text (that of a file, or the stories), sorted, and the text as their numbers.

    Raises:
        MiscopeError: the file does not exist, or is no text.
    """
    try:
        return _coded(path, is_shuffled, Path(path).stat().st_mtime_ns if path else 0)
    except FileNotFoundError:
        raise MiscopeError(f"`path` = {path!r} does not exist; it is looked for from {Path.cwd()}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MiscopeError(f"`path` = {path!r} cannot be read as UTF-8 text: {error}.") from None


@lru_cache(maxsize=4)
def _coded(path: str, is_shuffled: bool, stamp: int) -> tuple[str, np.ndarray]:
    text = Path(path).read_text(encoding="utf-8") if path else stories()
    characters, codes = np.unique(np.array(list(text)), return_inverse=True)
    return "".join(characters), np.random.default_rng(0).permutation(codes) if is_shuffled else codes
