"""Shows whether the network reads and writes the same frequencies at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest, long

from miscope.analyzers.dominant_frequencies import DominantFrequencies, analyzer
from miscope.core import Artifact, Context, View
from miscope.maths.null_distributions import agreement
from miscope.renderers import bars
from miscope.views.shared import nulls


def table(frequencies: Artifact[DominantFrequencies], context: Context, step: int) -> pd.DataFrame:
    """One row per (matrix, frequency); `power` is a share that sums to 1. No unembedding over the group: no rows."""
    output = frequencies[step]
    found, top = {"embedding": output.power}, highest(frequencies, "power")
    if output.unembedding_power is not None:
        found["unembedding"] = output.unembedding_power
        top = max(top, highest(frequencies, "unembedding_power"))
    table = long("power", np.stack(list(found.values())), matrix=tuple(found), frequency=output.frequency)
    table["is_dominant"] = table["power"] > 3 / len(output.frequency)
    table.attrs |= {"limits": {"power": (0.0, 1.15 * top)}, "marks": {"3 × mean": 3.0 / len(output.frequency)}}
    table.attrs["null"] = _verdict(output)
    return table


def _verdict(output: DominantFrequencies) -> str:
    """Whether both ends have their power at the same frequencies, or might as well be unrelated."""
    if output.unembedding_power is None:
        return nulls.none("the outputs are not the tokens, so there is no second spectrum to compare")
    if len(output.frequency) == 1:
        return nulls.none("there is one frequency alone, which both ends must share")
    rows = np.bincount((np.arange(1, len(output.row_norm)) - 1) // 2)  # of an even group's last frequency there is one
    found, null = agreement(output.power / rows, output.unembedding_power / rows)
    return nulls.against("correlation of the two spectra", found, null, "99 % of random pairings of their frequencies")


view = View(
    question="Does the network write the frequencies that it reads?",
    reading="Above: the embedding's share of power per frequency; below: the unembedding's. The circuit that adds "
    "in frequency space needs the same frequencies at both ends.",
    needs=analyzer,
    table=table,
    draw=bars(
        "frequency", "power", "matrix", "matrix", emphasis="is_dominant",
        titles={"frequency": "frequency k", "power": "share of power"},
    ),
)  # fmt: skip
