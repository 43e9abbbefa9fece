"""Shows which inputs the network gets right at one step, those it trains on told apart from the rest."""

import numpy as np
import pandas as pd

from miscope.analyzers.losses import Losses, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import mosaic
from miscope.views.shared import guessing
from miscope.views.shared.tidy import probe_axes

TONES = {"train, right": "#0072B2", "train, wrong": "#8C2D04", "test, right": "#9ECAE1", "test, wrong": "#FDAE6B"}


def table(losses: Artifact[Losses], context: Context, step: int) -> pd.DataFrame:
    """One row per probe input; `outcome` says its split and whether the answer is right."""
    axes, titles = probe_axes(context)
    output = losses[step]
    codes = 2 * (~np.asarray(output.is_train)).astype(np.int8) + (~np.asarray(output.is_correct)).astype(np.int8)
    found = pd.DataFrame({**axes, "outcome": pd.Categorical.from_codes(codes, categories=list(TONES))})
    said = guessing.of_accuracy(context, output.is_correct, looks=len(losses))
    found.attrs |= {"titles": titles, "tones": TONES, "null": said}
    return found


view = View(
    question="Which inputs does the network get right?",
    reading="Blue is right, orange is wrong; dark cells are inputs it trains on. Memorisation is dark blue on "
    "orange; a network that generalises is blue everywhere.",
    needs=analyzer,
    table=table,
    draw=mosaic("b", "a", "outcome", is_square=True, height=430),
)
