"""Shows the shape of each group of neurons at the last checkpoint, as a relief over its first two components."""

import numpy as np
import pandas as pd

from miscope.core import Context, NotApplicable, View
from miscope.renderers import DIVERGING, heatmap
from miscope.trackers.neuron_groups import SHAPES, NeuronGroups, analyzer
from miscope.views.shared.groups import names, of_shape


def table(groups: NeuronGroups, context: Context, *, bins: int = 15) -> pd.DataFrame:
    """One row per (group, pc_one, pc_two) square that holds a neuron; `pc_three` is their mean, in its own std.

    The plane's axes are in units of the larger extent of the group, from -1 to 1, at the squares' middles.
    """
    parts = [_part(groups, i, name, bins) for i, name in enumerate(names(groups)) if groups.frequency[i]]
    if not parts:
        raise NotApplicable("No frequency has enough neurons to make a group.")
    found = pd.concat(parts, ignore_index=True)
    found["group"] = pd.Categorical(found["group"], categories=list(dict.fromkeys(found["group"])))
    found.attrs |= {
        "limits": {"pc_three": (-2.5, 2.5)},
        "when": f"step {int(groups.steps[-1]):,}",
        "null": of_shape(groups),
    }
    return found


def _part(groups: NeuronGroups, i: int, name: str, bins: int) -> pd.DataFrame:
    chosen = groups.member[groups.layer[i]] == groups.frequency[i]
    x, y, z = groups.score[groups.layer[i], chosen].astype(np.float64).T
    extent = max(np.abs(x).max(), np.abs(y).max()) or 1.0
    square = [np.clip(((v / extent + 1) / 2 * bins).astype(int), 0, bins - 1) for v in (x, y)]
    middles = (np.arange(bins) + 0.5) * 2 / bins - 1
    part = pd.DataFrame({"pc_one": middles[square[0]], "pc_two": middles[square[1]], "pc_three": z})
    part["pc_three"] /= z.std() or 1.0
    part = part.groupby(["pc_one", "pc_two"], as_index=False)["pc_three"].mean()
    return part.assign(group=f"{name.removesuffix(' neurons)')}): {SHAPES[groups.shape[i, -1]]}")


view = View(
    question="How is each group of neurons bent?",
    reading="Neurons over the first two principal components of their group's input weights, coloured by the third. "
    "Red and blue in opposite pairs, four changes going round, are a saddle; a middle that differs from the rim is a "
    "bowl; colours without order are a flat group.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "pc_one", "pc_two", "pc_three", "group", colorscale=DIVERGING, is_square=True, columns=3,
        titles={"pc_one": "PC1", "pc_two": "PC2", "pc_three": "PC3 (standard deviations)"},
    ),
)  # fmt: skip
