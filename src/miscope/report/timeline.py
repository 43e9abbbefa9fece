"""The timeline of a training, in sentences: the events of the phases, and the onset of every measure.

An event lies between two checkpoints. A measure's onset is where it reaches half of its total change and does not fall
back (`lead_lag`).
"""

from dataclasses import dataclass
from typing import Any

from miscope.core import MiscopeError
from miscope.report import lead_lag
from miscope.workspace.loaded import LoadedVariant

EVENTS = {
    "memorised_step": "The network has memorised its training inputs.",
    "test_peak_step": "The test loss reaches its peak: the network is confidently wrong on the test inputs.",
    "onset_step": "The test loss stays far below its peak from here on: the network generalises.",
    "solved_step": "Test accuracy stays at the level of a solved task from here on.",
    "grokked_step": "The test loss reaches the level of a grokked task.",
    "crossover_step": "W_in and W_out of the MLP change order: from here on the other one uses more directions.",
}


@dataclass(frozen=True)
class Event:
    """Something that happened after the checkpoint `before` (None: `by` is the first) and by the checkpoint `by`."""

    before: int | None
    by: int
    sentence: str
    instrument: str  # the instrument whose views show it


@dataclass(frozen=True)
class Timeline:
    """All events in order, and the verdict of the phases with its reasons; empty where there are no phases."""

    verdict: str
    reasons: tuple[str, ...]
    events: tuple[Event, ...]


def timeline(variant: LoadedVariant) -> Timeline:
    """The timeline from the fresh artifacts of a variant; single matrices, heads and sites are left out."""
    phases = _phases(variant)
    events = [*(_events(variant.steps, phases) if phases else ()), *_onsets(variant)]
    ordered = sorted(events, key=lambda e: (e.by, e.instrument != "phases", e.sentence))
    return Timeline(phases.verdict if phases else "", phases.reasons if phases else (), tuple(ordered))


def _phases(variant: LoadedVariant) -> Any:
    try:
        return variant.artifact("phases")
    except MiscopeError:  # the report says why beside the views of the phases
        return None


def _events(steps: tuple[int, ...], phases: Any) -> list[Event]:
    events = []
    for field, sentence in EVENTS.items():
        at = getattr(phases, field)
        if at is not None:
            before = max((step for step in steps if step < at), default=None)
            events.append(Event(before, at, sentence, "phases"))
    return events


def _onsets(variant: LoadedVariant) -> list[Event]:
    try:
        onsets = lead_lag.onsets([variant])
    except MiscopeError:
        return []
    whole = onsets[~onsets["measure"].str.contains(lead_lag.PART)].assign(change="fall")
    whole.loc[whole["end"] > whole["start"], "change"] = "rise"
    return [
        Event(row.before, row.by, f"{row.measure} reached half of its {row.change}.", row.measure.partition(".")[0])
        for row in whole.itertuples()
    ]
