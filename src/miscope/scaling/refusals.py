"""What a fit says instead of a number that the runs cannot carry."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "too few points", "too few budgets", "no interior minimum", "minimum at the grid's edge", "not identifiable"
]


@dataclass(frozen=True)
class Refusal:
    """Stands where a number would; `kind` is for programs, `sentence` for readers."""

    kind: Kind
    sentence: str
