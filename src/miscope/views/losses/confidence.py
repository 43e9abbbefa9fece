"""Shows on which inputs the network is sure of the right answer at one step."""

from typing import Literal

import numpy as np
import pandas as pd

from miscope.analyzers.losses import Losses, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared import guessing
from miscope.views.shared.tidy import probe_axes


def table(
    losses: Artifact[Losses], context: Context, step: int, *, inputs: Literal["all", "train", "test"] = "all"
) -> pd.DataFrame:
    """One row per probe input of the chosen split; `confidence` is the probability of the right answer."""
    axes, titles = probe_axes(context)
    output = losses[step]
    is_train = np.asarray(output.is_train, dtype=bool)
    split = pd.Categorical.from_codes((~is_train).astype(np.int8), categories=["train", "test"])
    chosen = {"all": np.ones_like(is_train), "train": is_train, "test": ~is_train}[inputs]
    said = guessing.of_confidence(context, output.confidence, chosen, looks=len(losses))
    found = pd.DataFrame({**axes, "confidence": np.asarray(output.confidence, dtype=np.float32), "split": split})
    found = found[chosen].reset_index(drop=True)
    found.attrs |= {"titles": titles, "limits": {"confidence": (0.0, 1.0)}, "note": f"{inputs} inputs", "null": said}
    return found


view = View(
    question="On which inputs is the network sure of the right answer?",
    reading="Yellow: the right answer has probability 1. While the network memorises, the bright cells are the "
    "inputs it trains on; the option `inputs` keeps only those or only the others.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "b", "a", "confidence", is_square=True, height=430, titles={"confidence": "probability of the right answer"}
    ),
)
