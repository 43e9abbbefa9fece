"""The phases of training, the events that bound them, and the verdict with its reasons."""

import pandas as pd

from miscope.instruments.phases.measure import Phases
from miscope.plugin import Context, Table, timeline, view

EVENTS = ("memorised", "test_peak", "onset", "solved", "crossover", "grokked")


@view(
    question="Which phases does training go through, and is it complete?",
    reading="Bars are phases, diamonds are events with their steps. Onset: from here on the test loss is 80 % below "
    "its peak. Solved: from here on the accuracy meets the family's criterion. Crossover: from here on W_out uses "
    "fewer directions than W_in, or the reverse. Events that did not happen are not drawn.",
    draw=timeline(),
)
def overview(phases: Phases, context: Context) -> Table:
    """One row per phase, event that happened, verdict and reason, by `start` and `end` in steps; verdicts: the last."""
    spans = zip(phases.phase, phases.phase_start, phases.phase_end, strict=True)
    rows = [("phase", name, int(start), int(end)) for name, start, end in spans]
    steps = {name.replace("test_peak", "test loss peaks"): getattr(phases, f"{name}_step") for name in EVENTS}
    happened = sorted((step, name) for name, step in steps.items() if step is not None)
    rows += [("event", name, int(step), int(step)) for step, name in happened]
    last = int(phases.steps[-1])
    rows += [("verdict", f"Verdict: {phases.verdict}.", last, last)]
    rows += [("reason", reason, last, last) for reason in phases.reasons]
    return Table(pd.DataFrame(rows, columns=["kind", "name", "start", "end"]))
