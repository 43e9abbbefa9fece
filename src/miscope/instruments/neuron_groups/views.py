"""How the neurons of one frequency lie in weight space: their shape, how flat they are, and how far apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from miscope.instruments.neuron_groups.measure import SHAPES, NeuronGroups
from miscope.plugin import DIVERGING, Context, NotApplicable, Table, heatmap, joined, lines, long, theme, view

ALL = "all neurons"


@view(
    question="What shape do neurons of one frequency take in weight space?",
    reading="How much of the third principal component of a group's input weights a quadratic function of the first "
    "two explains, beyond a plane. Below the dashed line, or what chance gives a small group, the group is flat. Above "
    "it is curved: a bowl or a saddle, by the signs of its curvatures.",
    draw=lines("step", "gain", "group", titles={"gain": "gain in R2 of a quadratic"}, labelled=True),
)
def overview(groups: NeuronGroups, context: Context) -> Table:
    """One row per (group, step); `gain` in R2 of PC3 by a quadratic of PC1 and PC2 over a plane, and the `shape`."""
    last = [f"k = {k}: {SHAPES[s]}" for k, s in zip(groups.frequency, groups.shape[:, -1], strict=True) if k]
    more = f". At the end {', '.join(last) or 'there is no group'}"
    table = _curves("gain", groups, groups.r2_gain, (-0.02, 1.0), more)
    table.data["shape"] = [SHAPES[i] for i in groups.shape.ravel()]
    return replace(table, marks={"flat below": groups.least_gain})


@view(
    question="When do neurons of one frequency lie in a plane?",
    reading="The share of the variance of a group's input weights in its first two principal components, the cosine "
    "and the sine of its frequency. All neurons together need two components for each frequency.",
    draw=lines("step", "share", "group", titles={"share": "variance in two components"}, labelled=True),
)
def dimensions(groups: NeuronGroups, context: Context, *, n: int = 2) -> Table:
    """One row per (group, step); `share` of the group's variance in its first `n` principal components."""
    return _curves("share", groups, groups.share[:, :, :n].sum(axis=2), (0.0, 1.02))


@view(
    question="How is each group of neurons curved?",
    reading="Neurons over the first two principal components of their group's input weights, coloured by the third. A "
    "saddle has red and blue in opposite pairs, with four changes around the centre; a bowl has a centre that differs "
    "from its rim; without order, the group is flat.",
    draw=heatmap(
        "pc_one", "pc_two", "pc_three", "group", colorscale=DIVERGING, is_square=True, columns=3,
        titles={"pc_one": "PC1", "pc_two": "PC2", "pc_three": "PC3 (standard deviations)"},
    ),
    null="overview",
)  # fmt: skip
def relief(groups: NeuronGroups, context: Context, *, bins: int = 15) -> Table:
    """One row per (group, pc_one, pc_two) square that holds a neuron; `pc_three` is their mean, in its own std.

    The plane's axes are in units of the larger extent of the group, from -1 to 1, at the squares' middles.
    """
    ends = zip(_names(groups), groups.shape[:, -1], strict=True)
    names = [f"{name.removesuffix(' neurons)')}): {SHAPES[shape]}" for name, shape in ends]
    parts = {name: _squares(groups, i, bins) for i, name in enumerate(names) if groups.frequency[i]}
    if not parts:
        raise NotApplicable("No frequency has enough neurons to make a group.")
    rows = joined(list(parts.values()), list(parts), "group")
    return Table(rows, limits={"pc_three": (-2.5, 2.5)}, when=f"step {int(groups.steps[-1]):,}")


def _squares(groups: NeuronGroups, i: int, bins: int) -> pd.DataFrame:
    chosen = groups.member[groups.layer[i]] == groups.frequency[i]
    x, y, z = groups.score[groups.layer[i], chosen].astype(np.float64).T
    extent = max(np.abs(x).max(), np.abs(y).max()) or 1.0
    row, column = (np.clip(((v / extent + 1) / 2 * bins).astype(int), 0, bins - 1) for v in (x, y))
    middles = (np.arange(bins) + 0.5) * 2 / bins - 1
    neurons = pd.DataFrame({"pc_one": middles[row], "pc_two": middles[column], "pc_three": z / (z.std() or 1.0)})
    return neurons.groupby(["pc_one", "pc_two"], as_index=False)["pc_three"].mean()


@view(
    question="How far apart do neurons of one frequency lie?",
    reading="The root mean square distance of a group's input weights from their mean, beside that of all neurons. "
    "Groups are those of the final checkpoint, at all earlier ones.",
    draw=lines("step", "spread", "group", titles={"spread": "rms distance from the mean"}, labelled=True),
)
def spread(groups: NeuronGroups, context: Context) -> Table:
    """One row per (group, step); `spread` is the rms distance of the neurons' input weights from their mean."""
    return _curves("spread", groups, groups.spread, (0.0, 1.05 * float(groups.spread.max()) or 1.0))


def _curves(
    name: str, groups: NeuronGroups, values: Float[np.ndarray, "group n"], limits: tuple[float, float], more: str = ""
) -> Table:
    """One row per (group, step), grey for all neurons of a layer; how many are in groups, and by which rule."""
    names, n = _names(groups), int((groups.member > 0).sum())
    rule = f"{n:,} of {groups.member.size:,} neurons end with {groups.level:.0%} of what they read at one frequency"
    colors = {group: theme.GREY for group, k in zip(names, groups.frequency, strict=True) if not k}
    rows = long(name, values, group=names, step=groups.steps)
    return Table(rows, limits={name: limits}, note=rule + more, colors=colors)


def _names(groups: NeuronGroups) -> list[str]:
    """`k = 8 (102 neurons)`, `all neurons`; in a network of several layers `layer 1, k = 8 (102 neurons)`."""
    kinds = [f"k = {k} ({n} neurons)" if k else ALL for k, n in zip(groups.frequency, groups.size, strict=True)]
    return [f"layer {i}, {kind}" for i, kind in zip(groups.layer, kinds, strict=True)] if groups.layer.any() else kinds
