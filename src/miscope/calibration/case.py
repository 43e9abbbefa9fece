"""What a known answer is: a model whose numbers are known beforehand, and the instrument that has to find them.

An instrument's known.py binds `cases`, a tuple of functions that yield Answers; nothing else is edited to add one.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import SupportsFloat


@dataclass(frozen=True)
class Answer:
    """One number that is known beside what was measured."""

    quantity: str
    expected: SupportsFloat
    measured: SupportsFloat
    tolerance: float = 1e-6  # absolute, in the unit of the quantity

    @property
    def is_right(self) -> bool:
        return abs(float(self.measured) - float(self.expected)) <= float(self.tolerance)  # NaN is wrong


@dataclass(frozen=True)
class Case:
    """One model, or one run, on which an instrument is tried; the catalog makes it of a function in known.py.

    The docstring of `answers` is the case in words, up to `Source:`, and where the answer is from, after it.
    """

    instrument: str
    answers: Callable[[], Iterable[Answer]]

    @property
    def words(self) -> str:
        return self._parts()[0]

    @property
    def source(self) -> str:
        return self._parts()[1]

    def _parts(self) -> tuple[str, str]:
        words, _, source = (inspect.getdoc(self.answers) or "").partition("Source:")
        return " ".join(words.split()), " ".join(source.split())
