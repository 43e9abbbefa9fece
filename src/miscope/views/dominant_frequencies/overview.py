"""Shows which frequencies the embedding uses at one step, sine and cosine apart.

Source: Nanda et al. 2023, arXiv:2301.05217, figure 3 (norms of the embedding's Fourier components).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest

from miscope.analyzers.dominant_frequencies import DominantFrequencies, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import bars
from miscope.views.shared.frequencies import of_embedding


def table(frequencies: Artifact[DominantFrequencies], context: Context, step: int) -> pd.DataFrame:
    """One row per (part, frequency); `share` is that part's share of the embedding's squared norm without its constant.

    `norm` is the norm of the row; `is_dominant` is true of frequencies whose share is above 3 times the mean.
    """
    output = frequencies[step]
    n, rows = len(output.frequency), np.asarray(output.row_norm, dtype=np.float64)
    total = (rows[1:] ** 2).sum() or 1.0
    parts = {"cosine": rows[1::2], "sine": rows[2::2]}
    found = pd.concat(
        pd.DataFrame(
            {
                "part": part,
                "frequency": output.frequency[: len(norms)],
                "share": norms**2 / total,
                "norm": norms,
                "is_dominant": np.asarray(output.is_dominant, dtype=bool)[: len(norms)],
            }
        )
        for part, norms in parts.items()
    ).reset_index(drop=True)
    dominant = [str(k) for k in output.frequency[np.asarray(output.is_dominant, dtype=bool)]]
    found.attrs |= {
        "limits": {"share": (0.0, 1.12 * max(highest(frequencies, "power"), 3.3 / n))},
        "marks": {"3 × mean": 3.0 / n},
        "note": f"dominant: {', '.join(dominant)}" if 0 < len(dominant) <= 10 else f"{len(dominant)} dominant",
        "null": of_embedding(output),
    }
    return found


view = View(
    question="Which frequencies does the embedding use?",
    reading="Each bar is a frequency's share of the embedding's squared norm, cosine and sine stacked; coloured "
    "bars are above the dashed line, 3 times the mean. A network that has learned modular addition keeps two to five "
    "frequencies.",
    needs=analyzer,
    table=table,
    draw=bars(
        "frequency", "share", "part", emphasis="is_dominant",
        titles={"frequency": "frequency k", "share": "share of the embedding's power"},
    ),
)  # fmt: skip
