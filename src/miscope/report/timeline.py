"""What happened in a training, in order and in words: the events of the phases, and each measure's own move.

An event lies between two checkpoints; a measure is said to move where it passes half of its way, for good (`order`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miscope.core import MiscopeError, NotApplicable
from miscope.report import lead_lag
from miscope.workspace import analysis, files

EVENTS = {
    "memorised_step": "It has learned the inputs that it trains on.",
    "test_peak_step": "The test loss is at its highest: on the rest it is wrong, and sure of it.",
    "onset_step": "The test loss has fallen by four fifths, for good: it generalises.",
    "solved_step": "Test accuracy has come to where the task counts as learned, for good.",
    "grokked_step": "The test loss is down to where the task counts as grokked.",
    "crossover_step": "The MLP's output matrix comes to use more directions than its input matrix, or fewer, for good.",
}


@dataclass(frozen=True)
class Happening:
    """One thing that happened after the checkpoint `before` (None: the first) and by the checkpoint `by`."""

    before: int | None
    by: int
    sentence: str
    instrument: str  # whose views show it


@dataclass(frozen=True)
class Story:
    """All that happened, in order; the verdict of the phases with its reasons, if they are there."""

    verdict: str
    reasons: tuple[str, ...]
    happenings: tuple[Happening, ...]


def story(root: Path, name: str) -> Story:
    """What the fresh artifacts of a variant tell; matrices, heads and sites one by one are left to the page Order."""
    found = _phases(root, name)
    happenings = [*(_events(root, name, found) if found else ()), *_moves(root, name)]
    ordered = sorted(happenings, key=lambda h: (h.by, h.instrument != "phases", h.sentence))
    return Story(found.verdict if found else "", found.reasons if found else (), tuple(ordered))


def _phases(root: Path, name: str) -> Any:
    try:
        return analysis.artifact(root, name, "phases")
    except MiscopeError:  # the report says at the views why there is nothing
        return None


def _events(root: Path, name: str, phases: Any) -> list[Happening]:
    steps = files.folder_of(root, name).checkpoint_steps()
    found = []
    for field, sentence in EVENTS.items():
        at = getattr(phases, field)
        if at is not None:
            before = max((step for step in steps if step < at), default=None)
            found.append(Happening(before, at, sentence, "phases"))
    return found


def _moves(root: Path, name: str) -> list[Happening]:
    try:
        onsets = lead_lag.onsets(root, [name])
    except (MiscopeError, NotApplicable):
        return []
    whole = onsets[~onsets["measure"].str.contains(" of ")]
    return [
        Happening(
            int(row.before), int(row.by), f"{_in_words(str(row.measure))} has come half of its way.",
            str(row.measure).partition(".")[0],
        )
        for row in whole.itertuples()
    ]  # fmt: skip


def _in_words(measure: str) -> str:
    instrument, _, field = measure.partition(".")
    words = field.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]} ({instrument.replace('_', ' ')})"
