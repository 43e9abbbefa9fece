"""The tokenizer of models that read characters: token n is the n-th of a given text of characters."""

from dataclasses import dataclass
from functools import cached_property

from miscope.core import MiscopeError


@dataclass(frozen=True)
class CharacterTokenizer:
    """`characters` has each once, such as `families.text.Text.characters`."""

    characters: str

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters)}

    def encode(self, text: str) -> list[int]:
        """
        Raises:
            MiscopeError: the text has a character that no token stands for.
        """
        if unknown := sorted(set(text) - self._ids.keys()):
            raise MiscopeError(f"The text has {unknown[0]!r}, which none of the {len(self._ids)} tokens stands for.")
        return [self._ids[character] for character in text]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(self.characters[i] for i in token_ids)
