"""The frequencies that the embedding holds: which, from when, how few, and whether the unembedding has the same."""

import numpy as np
import pandas as pd

from miscope.instruments.dominant_frequencies.measure import DominantFrequencies
from miscope.plugin import Artifact, Context, Table, bars, heatmap, highest, lines, long, over_steps, theme, view

TITLES = {"frequency": "frequency k", "share": "share of the embedding's power", "power": "share of power"}
CHANCE = "Gini coefficient, tokens in random order"
MEASURES = ("Gini coefficient", "inverse participation ratio", CHANCE)


@view(
    question="Which frequencies does the embedding use?",
    reading="Each bar is a frequency's share of the embedding's squared norm, with cosine and sine stacked. Coloured "
    "bars are above the dashed line, 3 times the mean. A network that has learned modular addition uses two to five "
    "frequencies.",
    draw=bars("frequency", "share", "part", emphasis="is_dominant", titles=TITLES),
)
def overview(frequencies: Artifact[DominantFrequencies], context: Context, step: int) -> Table:
    """One row per (part, frequency): the `norm` of its row, and its `share` of the squared norm without the constant.

    Source: Nanda et al. 2023, arXiv:2301.05217, figure 3 (norms of the embedding's Fourier components).
    """
    output = frequencies[step]
    n, norm = len(output.frequency), output.row_norm[1:]
    row = np.concatenate([np.arange(0, len(norm), 2), np.arange(1, len(norm), 2)])  # cosines, then sines
    columns = {
        "part": np.where(row % 2, "sine", "cosine"),
        "frequency": output.frequency[row // 2],
        "share": norm[row] ** 2 / ((norm**2).sum() or 1.0),
        "norm": norm[row],
        "is_dominant": output.is_dominant[row // 2],
    }
    dominant = [str(k) for k in output.frequency[output.is_dominant]]
    return Table(
        pd.DataFrame(columns),
        limits={"share": (0.0, 1.12 * max(highest(frequencies, "power"), 3.3 / n))},
        marks={"3 × mean": 3.0 / n},
        note=f"dominant: {', '.join(dominant)}" if 0 < len(dominant) <= 10 else f"{len(dominant)} dominant",
    )


@view(
    question="When do the final frequencies take over the embedding?",
    reading="Each row is a frequency, bright where it has a large share of the embedding. Rows that become bright and "
    "stay bright are frequencies that the network keeps; rows that fade again are frequencies that it drops.",
    draw=heatmap("step", "frequency", "power", titles=TITLES),
)
def evolution(frequencies: Artifact[DominantFrequencies], context: Context) -> Table:
    """One row per (step, frequency); `power` is a share of the embedding's squared norm without its constant."""
    power, k = frequencies.stack("power"), frequencies.last.frequency
    return Table(long("power", power, step=frequencies.steps, frequency=k))


@view(
    question="How sparse is the embedding's spectrum?",
    reading="Both measures are low when all frequencies have equal shares, and near 1 when one frequency has "
    "everything. With F equal frequencies the inverse participation ratio is 1 / F. Grey: the Gini coefficient that 1 "
    "% of random token orders exceed.",
    draw=lines("step", "sparsity", "measure"),
)
def sparsity(frequencies: Artifact[DominantFrequencies], context: Context) -> Table:
    """One row per (measure, step); `sparsity` in [0, 1]."""
    values = over_steps(frequencies, "gini", "inverse_participation_ratio", "chance_gini").T
    rows = long("sparsity", values, measure=MEASURES, step=frequencies.steps)
    return Table(rows, limits={"sparsity": (0.0, 1.0)}, colors={CHANCE: theme.GREY})


@view(
    question="Does the unembedding use the frequencies of the embedding?",
    reading="Top: the embedding's share of power per frequency; bottom: the unembedding's. A circuit that adds with "
    "waves needs the same frequencies in both.",
    draw=bars("frequency", "power", "matrix", "matrix", emphasis="is_dominant", titles=TITLES),
)
def unembedding(frequencies: Artifact[DominantFrequencies], context: Context, step: int) -> Table:
    """One row per (matrix, frequency); `power` is a share that sums to 1. No unembedding over the group: no rows."""
    output = frequencies[step]
    fields = {"embedding": "power"} | ({} if output.unembedding_power is None else {"unembedding": "unembedding_power"})
    power = np.stack([getattr(output, field) for field in fields.values()])
    rows = long("power", power, matrix=tuple(fields), frequency=output.frequency)
    top, mark = max(highest(frequencies, field) for field in fields.values()), 3.0 / len(output.frequency)
    rows["is_dominant"] = rows["power"] > mark
    return Table(rows, limits={"power": (0.0, 1.15 * top)}, marks={"3 × mean": mark})
