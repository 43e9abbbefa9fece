"""Where the right answers lie, how wide their clouds are, and on which circles, over training and at one step."""

import numpy as np
import pandas as pd

from miscope.instruments._shared.curves import COLORS, by_layer
from miscope.instruments._shared.sites import Kind, columns, index_of, names, of_layer
from miscope.instruments.representation_geometry.measure import Geometry, dimensions_of
from miscope.maths.clouds import components
from miscope.plugin import Context, NotApplicable, Table, heatmap, lines, long, once, points, theme, view

RANDOM, HEADS = "random answers", "99 % of untrained heads"
TOO_FEW = "Fewer than five right answers always lie on a circle."


@view(
    question="When do the right answers separate?",
    reading="The signal-to-noise ratio of the right answers at the answer position: above 1 the distance between "
    "centroids is larger than the width of their clouds. Grey: random answers, which start higher where the probe is "
    "not balanced. A site that is the same for all inputs has no curve.",
    draw=lines("step", "snr", "site", "layer", log_y=True, titles={"snr": "signal to noise"}),
)
def overview(geometry: Geometry, context: Context) -> Table:
    """One row per (layer, site, step); `snr` is the centroids' squared spread over the clouds' mean squared radius."""
    chance = {RANDOM: np.full(len(geometry), geometry.last.chance_snr)}
    rows = by_layer("snr", geometry.stack("snr").T, geometry.last.site, geometry.steps, chance)
    return Table(rows, colors={RANDOM: theme.GREY, **COLORS})


@view(
    question="When do the right answers form a ring?",
    reading="1 is a perfect ring. Circularity: each component is a wave of one frequency over the answers. Alignment: "
    "the angles follow the same frequency. Grey: the value that 1 % of untrained attention heads exceed.",
    draw=lines("step", "value", "site", "measure"),
)
def circularity(geometry: Geometry, context: Context, *, layer: int = -1) -> Table:
    """One row per (measure, site, step); `value` in [0, 1], beside what random centroids give."""
    last = geometry.last
    if last.circularity is None:
        raise NotApplicable(TOO_FEW)
    sites, chance = of_layer(last.site, layer), (last.chance_circularity, last.chance_alignment)
    measured = (geometry.stack(name).T[sites] for name in ("circularity", "ring_alignment"))
    values = [np.vstack([np.full(len(geometry), x), of]) for x, of in zip(chance, measured, strict=True)]
    measures = ("circularity of four components", "alignment of the angles in PC1 and PC2")
    shown = [HEADS, *names(last.site, sites)]
    rows = long("value", np.stack(values), measure=measures, site=shown, step=geometry.steps)
    return Table(rows, colors={HEADS: theme.GREY, **COLORS}, limits={"value": (0.0, 1.03)})


@view(
    question="How many dimensions do the inputs of one right answer use?",
    reading="The participation ratio of the inputs around their answer's centroid. A fall means that the network "
    "discards what the answer does not need. With n inputs the value is below n - 1, so compare sites and steps, not "
    "probes.",
    draw=lines("step", "dimensions", "site", "layer", titles={"dimensions": "participation ratio"}),
)
def dimensions(geometry: Geometry, context: Context) -> Table:
    """One row per (layer, site, step); `dimensions` is the participation ratio within an answer, mean over answers."""
    n_inputs, means = geometry.last.n_inputs, np.stack([dimensions_of(output) for output in geometry.values()])
    least, most = int(n_inputs.min()), int(n_inputs.max())
    note = f"{least if least == most else f'{least} to {most}'} inputs per answer"
    return Table(by_layer("dimensions", means.T, geometry.last.site, geometry.steps), colors=COLORS, note=note)


@view(
    question="On circles of which frequencies are the right answers?",
    reading="The share of the centroids' variance at each frequency over the answers. A bright row is a circle on "
    "which answer r is at the angle 2 pi k r / p; without circles every row has an equal share.",
    draw=heatmap("step", "frequency", "share", titles={"frequency": "frequency k", "share": "share of variance"}),
)
def frequencies(geometry: Geometry, context: Context, *, site: Kind = "resid_post", layer: int = -1) -> Table:
    """One row per (step, frequency); `share` of the centroids' variance, which sums to 1 over frequencies."""
    last = geometry.last
    if last.power is None:
        raise NotApplicable(TOO_FEW)
    power = geometry.stack("power")[:, index_of(last.site, site, layer)]
    rows = long("share", power, step=geometry.steps, frequency=np.arange(1, power.shape[1] + 1))
    return Table(rows, note=site if last.has_native_order else f"{site}; over the answers' numbers, which are no group")


@view(
    question="How are the right answers arranged?",
    reading="Each point is the centroid of the inputs of one right answer, coloured by its position on the "
    "best-fitting ring. A ring with colours in order is a circle of that frequency. The axes are fitted at each step.",
    draw=points("x", "y", "place", "answer"),
)
def ring(geometry: Geometry, context: Context, step: int, *, site: Kind = "resid_post", layer: int = -1) -> Table:
    """One row per right answer; `x` and `y` are its centroid's scores, `place` is k times its number, mod n."""
    output = geometry[step]
    at, n = index_of(output.site, site, layer), len(output.label)
    scores, shares = components(output.centroid[:, columns(output.width, at)])
    if scores.shape[1] < 2 or not output.spread[at]:
        raise NotApplicable(f"The centroids at {site} do not spread over a plane.")
    k = 1 if output.ring_frequency is None else int(np.nan_to_num(output.ring_frequency[at], nan=1))
    reach, (x, y) = _reach(geometry, at), scores[:, :2].T
    rows = pd.DataFrame({"x": x, "y": y, "answer": output.label, "place": k * np.arange(n) % n})
    titles = {axis: f"PC{i + 1} ({shares[i]:.0%} of the variance)" for i, axis in enumerate("xy")}
    titles["place"] = f"answer x {k}<br>mod {n}"
    limits = {"x": (-reach, reach), "y": (-reach, reach), "place": (0.0, float(n))}
    return Table(rows, titles=titles, limits=limits, note=site)


@once
def _reach(geometry: Geometry, at: int) -> float:
    """As far as the scores of PC1 ever reach, nearly: 2.2 of its largest standard deviations."""
    return 2.2 * max(float(o.spread[at] * np.sqrt(o.variance_share[at, 0])) for o in geometry.values()) or 1.0


@view(
    question="How well are the right answers separated?",
    reading="Fisher's criterion of two answers: the squared distance of their centroids divided by the sum of their "
    "squared radii. The mean can be large while one pair still overlaps; the lower panel shows that pair.",
    draw=lines("step", "fisher", "site", "statistic", log_y=True, titles={"fisher": "Fisher's criterion"}),
)
def separation(geometry: Geometry, context: Context, *, layer: int = -1) -> Table:
    """One row per (statistic, site, step); `fisher` is the squared distance over the sum of the squared radii."""
    last = geometry.last
    sites, statistics = of_layer(last.site, layer), ("mean over pairs", "nearest pair")
    values = np.stack([geometry.stack(name).T[sites] for name in ("fisher_mean", "fisher_min")])
    rows = long("fisher", values, statistic=statistics, site=names(last.site, sites), step=geometry.steps)
    r, s = last.fisher_min_pair[sites[-1]]  # hardest to tell apart at the last site and checkpoint
    return Table(rows, colors=COLORS, note="" if np.isnan(r) else f"nearest at the end: {r:.0f} and {s:.0f}")
