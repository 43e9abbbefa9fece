"""Shows which inputs the network keeps forgetting."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import probe_axes

from miscope.core import Context, View
from miscope.renderers import heatmap
from miscope.trackers.graduation import Graduation, analyzer
from miscope.views.shared import guessing, nulls


def table(graduation: Graduation, context: Context) -> pd.DataFrame:
    """One row per probe input; `times` it was right at a checkpoint and wrong at the next."""
    axes, titles = probe_axes(context)
    times = graduation.n_forgotten.astype(np.float32)
    found = pd.DataFrame({**axes, "times": times, "is_train": graduation.is_train})
    by_split = [f"{name} {times[chosen].mean():.2f}" for name, chosen in _splits(graduation).items() if chosen.any()]
    found.attrs |= {"titles": titles, "when": "", "note": f"times forgotten on average: {', '.join(by_split)}"}
    found.attrs["limits"] = {"times": (0.0, max(1.0, float(times.max())))}
    split, chosen = guessing.judged(context.probe)
    null = guessing.times_forgotten(len(graduation.steps), guessing.chance(context.probe, chosen))
    what = f"times that a {split} input is forgotten"
    found.attrs["null"] = nulls.against(what, float(times[chosen].mean()), null, guessing.SOURCE)
    return found


def _splits(graduation: Graduation) -> dict[str, np.ndarray]:
    return {"train": graduation.is_train, "test": ~graduation.is_train}


view = View(
    question="Which inputs does the network forget?",
    reading="How often an input was right at one checkpoint and wrong at the next. Memorised inputs are hardly ever "
    "forgotten; many times says that the network guesses, or that two solutions compete for the input.",
    needs=analyzer,
    table=table,
    draw=heatmap("b", "a", "times", is_square=True, height=430, titles={"times": "times forgotten"}),
)
