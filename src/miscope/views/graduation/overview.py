"""Shows when the network comes to answer each input right for good."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import probe_axes

from miscope.core import Context, NotApplicable, View
from miscope.renderers import heatmap
from miscope.trackers.graduation import Graduation, analyzer
from miscope.views.shared import guessing


def table(graduation: Graduation, context: Context) -> pd.DataFrame:
    """One row per probe input that has graduated; `graduation_step` is the first of the checkpoints that count."""
    if np.isnan(graduation.graduation_step).all():
        raise NotApplicable(f"No input is answered right at {graduation.hold} checkpoints in a row.")
    axes, titles = probe_axes(context)
    found = pd.DataFrame({**axes, "graduation_step": graduation.graduation_step, "is_train": graduation.is_train})
    never = int(found["graduation_step"].isna().sum())
    found = found.dropna().reset_index(drop=True)
    found.attrs |= {"titles": titles, "when": "", "note": f"{never:,} of {len(graduation.is_train):,} inputs never do"}
    found.attrs["limits"] = {"graduation_step": (float(graduation.steps[0]), float(graduation.steps[-1]))}
    found.attrs["null"] = guessing.of_accuracy(
        context, graduation.has_lasted, "{} inputs graduated and right at the end"
    )
    return found


view = View(
    question="When is each input answered right for good?",
    reading="The step from which an input is answered right at three checkpoints in a row, or as many as the setting "
    "`hold` says; white: never. Dark cells are the inputs that it memorises, bright ones those that it works out.",
    needs=analyzer,
    table=table,
    draw=heatmap("b", "a", "graduation_step", is_square=True, height=430),
)
