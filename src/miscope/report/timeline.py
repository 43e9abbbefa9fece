"""The timeline of a training, in words: the events of the phases, and each measure's own move.

An event lies between two checkpoints; a measure is said to move where it passes half of its way, for good (`lead_lag`).
"""

from dataclasses import dataclass
from typing import Any

from miscope.core import MiscopeError, NotApplicable
from miscope.report import lead_lag
from miscope.workspace.loaded import LoadedVariant

EVENTS = {
    "memorised_step": "It has learned the inputs that it trains on.",
    "test_peak_step": "The test loss is at its highest: on the rest it is wrong, and sure of it.",
    "onset_step": "The test loss has fallen by four fifths, for good: it generalises.",
    "solved_step": "Test accuracy has come to where the task counts as learned, for good.",
    "grokked_step": "The test loss is down to where the task counts as grokked.",
    "crossover_step": "The MLP's output matrix comes to use more directions than its input matrix, or fewer, for good.",
}


@dataclass(frozen=True)
class Event:
    """One thing that happened after the checkpoint `before` (None: the first) and by the checkpoint `by`."""

    before: int | None
    by: int
    sentence: str
    instrument: str  # whose views show it


@dataclass(frozen=True)
class Timeline:
    """All events, in order; the verdict of the phases with its reasons, if they are there."""

    verdict: str
    reasons: tuple[str, ...]
    events: tuple[Event, ...]


def timeline(variant: LoadedVariant) -> Timeline:
    """What the fresh artifacts of a variant tell; single matrices, heads and sites are left to the page Lead-lag."""
    phases = _phases(variant)
    events = [*(_events(variant.steps, phases) if phases else ()), *_moves(variant)]
    ordered = sorted(events, key=lambda e: (e.by, e.instrument != "phases", e.sentence))
    return Timeline(phases.verdict if phases else "", phases.reasons if phases else (), tuple(ordered))


def _phases(variant: LoadedVariant) -> Any:
    try:
        return variant.artifact("phases")
    except MiscopeError:  # the report says at the views why there is nothing
        return None


def _events(steps: tuple[int, ...], phases: Any) -> list[Event]:
    events = []
    for field, sentence in EVENTS.items():
        at = getattr(phases, field)
        if at is not None:
            before = max((step for step in steps if step < at), default=None)
            events.append(Event(before, at, sentence, "phases"))
    return events


def _moves(variant: LoadedVariant) -> list[Event]:
    try:
        onsets = lead_lag.onsets([variant])
    except (MiscopeError, NotApplicable):
        return []
    whole = onsets[~onsets["measure"].str.contains(" of ")]
    return [
        Event(
            int(row.before), int(row.by), f"{_in_words(str(row.measure))} has come half of its way.",
            str(row.measure).partition(".")[0],
        )
        for row in whole.itertuples()
    ]  # fmt: skip


def _in_words(measure: str) -> str:
    instrument, _, field = measure.partition(".")
    words = field.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]} ({instrument.replace('_', ' ')})"
