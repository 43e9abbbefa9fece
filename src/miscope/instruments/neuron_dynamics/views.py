"""How neurons choose their frequencies: which gain and lose them, when each commits, and how often one changes."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from miscope.instruments._shared.heads import layer_names
from miscope.instruments.neuron_dynamics.measure import NeuronDynamics
from miscope.plugin import Context, Table, area, bars, categorical_heatmap, lines, long, theme, view

OTHER = "other"
LARGEST = 7  # so many frequencies get a colour; the rest are grey
LEAST = 0.05  # of the neurons, for a frequency to be named


@view(
    question="Which frequencies gain and lose neurons?",
    reading="Stacked: the number of neurons tuned to each frequency; the white area above is neurons tuned to none. "
    "Bands that grow and vanish are transient frequencies, whose neurons change to others.",
    draw=area("step", "neurons", "group"),
)
def overview(dynamics: NeuronDynamics, context: Context, *, layer: int = 0) -> Table:
    """One row per (group, step); `neurons` tuned to the group's frequency, those that never reach 5 % as `other`."""
    counts, n_neurons = dynamics.neurons_per_frequency[:, layer], dynamics.peak_frequency.shape[2]
    named = _named(counts.max(axis=0), n_neurons)
    own = counts[:, [k - 1 for k in named]]
    values = np.concatenate([own, counts.sum(axis=1, keepdims=True) - own.sum(axis=1, keepdims=True)], axis=1)
    transient, colors = np.flatnonzero(dynamics.is_transient[layer]) + 1, _colors(named)
    rows = long("neurons", values.T, group=list(colors), step=dynamics.steps)
    lost = f" · tried and lost: k = {', '.join(map(str, transient))}" if transient.size else ""
    note = f"tuned: at least {dynamics.level:.0%} at one frequency{lost}"
    return Table(rows, limits={"neurons": (0.0, float(n_neurons))}, colors=colors, note=note)


@view(
    question="When do neurons reach their final frequency?",
    reading="The share of neurons that keep their final frequency from that step on. A steep rise means that the "
    "neurons choose together; a slow rise, one after another. Where the curve ends below 1, some neurons never choose.",
    draw=lines("step", "committed", "layer", titles={"committed": "share of neurons committed"}),
)
def commitment(dynamics: NeuronDynamics, context: Context) -> Table:
    """One row per (layer, step); `committed` is the share of neurons that hold their final frequency from then on."""
    steps = dynamics.commitment_step  # NaN: never, and no comparison with it is true
    shares = np.stack([(steps <= step).mean(axis=1) for step in dynamics.steps], axis=1)
    rows = long("committed", shares, layer=layer_names(len(shares)), step=dynamics.steps)
    note = f"{int(np.isnan(steps).sum()):,} of {steps.size:,} neurons never commit"
    return Table(rows, limits={"committed": (0.0, 1.02)}, note=note)


@view(
    question="On how few frequencies do the neurons concentrate?",
    reading="The Herfindahl index: 1 when all tuned neurons have one frequency, 1 / F when they are spread evenly over "
    "F. Early values depend on few neurons.",
    draw=lines("step", "concentration", "layer", titles={"concentration": "concentration (Herfindahl)"}),
)
def concentration(dynamics: NeuronDynamics, context: Context) -> Table:
    """One row per (layer, step) with a tuned neuron; `concentration` is their Herfindahl index over frequencies."""
    values = dynamics.concentration.T
    rows = long("concentration", values, layer=layer_names(len(values)), step=dynamics.steps)
    note = f"no neuron ever has {dynamics.level:.0%} of its variance at one frequency" if rows.empty else ""
    return Table(rows, limits={"concentration": (0.0, 1.05)}, note=note)


@view(
    question="When does each neuron choose its frequency?",
    reading="Each row is a neuron, coloured by its peak frequency at each step and sorted by its last one, which is "
    "named at the right with the number of neurons. Grey: a frequency that few neurons end at. A neuron has chosen "
    "where its row takes its final colour.",
    draw=categorical_heatmap(
        "step", "rank", "group", height=430, extra="neuron", value="peak_frequency", titles={"rank": "neurons, sorted"}
    ),
)
def peaks(dynamics: NeuronDynamics, context: Context, *, layer: int = 0) -> Table:
    """One row per (rank, step); `group` is the peak frequency, `rank` the order of final frequency and commitment."""
    peak = dynamics.peak_frequency[:, layer].astype(int)
    named = _named(np.bincount(peak[-1])[1:], peak.shape[1])
    colors, code_of = _colors(named), np.full(peak.max() + 1, len(named))
    code_of[named] = np.arange(len(named))
    codes = code_of[peak]
    commitment = np.nan_to_num(dynamics.commitment_step[layer], nan=np.inf)
    order = np.lexsort((commitment, peak[-1], codes[-1]))
    rows = long("peak_frequency", peak[:, order].T, rank=np.arange(len(order)), step=dynamics.steps)
    rows["group"] = pd.Categorical.from_codes(codes[:, order].T.ravel(), categories=list(colors))
    rows["neuron"] = np.repeat(order, len(dynamics.steps))
    ranks = [(np.flatnonzero(codes[-1, order] == i), label) for i, label in enumerate(colors)]
    bands = [(int(at[0]), int(at[-1]), f"{label} ({len(at)})") for at, label in ranks if len(at)]
    return Table(rows, bands=bands, colors=colors)


@view(
    question="How often do neurons change their frequency?",
    reading="The number of neurons by how often their peak frequency changed between checkpoints at which they were "
    "tuned. Switches between distant checkpoints are missed.",
    draw=bars("switches", "neurons", facet="layer", titles={"switches": "changes of peak frequency"}),
)
def switches(dynamics: NeuronDynamics, context: Context) -> Table:
    """One row per (layer, number of switches); `neurons` that change their peak frequency so many times."""
    switched = dynamics.n_switches.astype(int)
    numbers = np.arange(switched.max() + 1)
    counts = np.stack([np.bincount(layer, minlength=len(numbers)) for layer in switched])
    rows = long("neurons", counts, layer=layer_names(len(counts)), switches=numbers)
    return Table(rows, when="", note=f"{(switched == 0).mean():.0%} of the neurons never switch")


def _named(counts: Int[np.ndarray, " freq"], n_neurons: int) -> list[int]:
    """Frequencies k worth a colour of their own, ascending: of those with neurons enough, the most populous."""
    order = np.argsort(-counts, kind="stable")[:LARGEST]
    return sorted(int(k) + 1 for k in order if counts[k] >= LEAST * n_neurons)


def _colors(named: list[int]) -> dict[str, str]:
    """`k = 9` -> colour; other frequencies pale grey."""
    return {**{f"k = {k}": color for k, color in zip(named, theme.PALETTE, strict=False)}, OTHER: theme.PALE}
