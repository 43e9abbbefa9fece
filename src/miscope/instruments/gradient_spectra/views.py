"""Which frequencies training pushes on, and how much of that the network's own weights make for any labels."""

from itertools import combinations

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.nulls import MARGIN
from miscope.instruments.gradient_spectra.measure import GradientSpectra, sharing
from miscope.plugin import Artifact, Context, Table, heatmap, highest, lines, long, theme, view

COLORS = {"right labels": theme.PALETTE[0], "shuffled labels": theme.GREY}


@view(
    question="Which frequencies does the gradient change, and when?",
    reading="Each column is the gradient of the train loss at one step, as shares of the frequencies. Bright rows are "
    "frequencies through which errors flow back; an even column favours none. The network's own weights make such rows "
    "for any labels: the view `concentration` says whether these need the right labels.",
    draw=heatmap("step", "frequency", "share", "site", titles={"frequency": "frequency k"}, columns=1, height=260),
)
def overview(spectra: Artifact[GradientSpectra], context: Context) -> Table:
    """One row per (site, frequency, step); `share` of that frequency in the site's gradient, the constant left out."""
    power, last = spectra.stack("power").transpose(1, 2, 0), spectra.last
    rows = long("share", power, site=last.site, frequency=np.arange(1, power.shape[1] + 1), step=spectra.steps)
    own, shuffled = _beside_shuffled(spectra, "concentration")[..., 0]  # of the embedding
    ratio = np.divide(own, shuffled, out=np.ones_like(own), where=shuffled > 0)
    at = int(ratio.argmax())
    most = f"at no step {MARGIN:g}" if ratio[at] <= MARGIN else f"step {spectra.steps[at]:,}: {ratio[at]:.1f}"
    basis = "" if last.is_native else "; the task has no such input group"
    return Table(rows, note=f"{most} times as concentrated as for shuffled labels{basis}")


def _beside_shuffled(spectra: Artifact[GradientSpectra], name: str) -> Float[np.ndarray, "labels step site *of"]:
    """A field for the right labels and for shuffled ones."""
    return np.stack([spectra.stack(field) for field in (name, f"shuffled_{name}")])


@view(
    question="When does the gradient concentrate on few frequencies?",
    reading="The number of frequencies that share the gradient. Where the grey curve, the same network with shuffled "
    "labels, is as low or lower, the network's weights concentrate the gradient, and not the task.",
    draw=lines("step", "frequencies", "labels", "site", titles={"frequencies": "frequencies"}),
)
def concentration(spectra: Artifact[GradientSpectra], context: Context) -> Table:
    """One row per (site, labels, step) at which the gradient varies over tokens; `frequencies` from 1 to n_f."""
    count, last = sharing(_beside_shuffled(spectra, "concentration")).transpose(2, 0, 1), spectra.last
    rows = long("frequencies", count, site=last.site, labels=tuple(COLORS), step=spectra.steps)
    return Table(rows, colors=COLORS, marks={"all": float(last.power.shape[1])})


@view(
    question="How large is the gradient in each part of the network?",
    reading="The norm of the gradient of the train loss, without weight decay, on a logarithmic axis. After "
    "memorisation it falls by orders of magnitude: from then on weight decay moves the network as much as the loss "
    "does.",
    draw=lines("step", "norm", "site", log_y=True, titles={"norm": "norm of the gradient"}),
)
def norms(spectra: Artifact[GradientSpectra], context: Context) -> Table:
    """One row per (site, step); `norm` of the gradient of the mean train loss by the site's own weights."""
    values = np.maximum(spectra.stack("norm").T, np.finfo(np.float32).tiny)
    return Table(long("norm", values, site=spectra.last.site, step=spectra.steps))


@view(
    question="Do all parts of the network change at the same frequencies?",
    reading="1: the gradients of two sites have the same spectrum. The grey curve is the same network with shuffled "
    "labels. Where the embedding has few frequencies, sites agree there too; only the difference to the grey curve is "
    "due to the task.",
    draw=lines("step", "cosine", "labels", "pair"),
)
def similarity(spectra: Artifact[GradientSpectra], context: Context) -> Table:
    """One row per (pair of sites, labels, step); `cosine` between their frequencies' shares, in [0, 1]."""
    sites, both = spectra.last.site, _beside_shuffled(spectra, "similarity")
    pairs = list(combinations(range(len(sites)), 2))
    values = np.stack([both[:, :, i, j] for i, j in pairs])
    names = [f"{sites[i]} and {sites[j]}" for i, j in pairs]
    rows = long("cosine", values, pair=names, labels=tuple(COLORS), step=spectra.steps)
    return Table(rows, colors=COLORS, limits={"cosine": (0.0, 1.02)})


@view(
    question="Which frequencies does the gradient contain at each site?",
    reading="A peak that the grey curve (shuffled labels) has too comes from the network's own weights, which pass on "
    "any error at their frequencies. A peak that the grey curve lacks comes from the right labels.",
    draw=lines("frequency", "share", "labels", "site", titles={"frequency": "frequency k"}),
)
def spectrum(spectra: Artifact[GradientSpectra], context: Context, step: int) -> Table:
    """One row per (site, labels, frequency); `share` of the site's gradient, the constant left out."""
    output = spectra[step]
    both = np.stack([output.power, output.shuffled_power], axis=1)
    frequency = np.arange(1, both.shape[2] + 1)
    rows = long("share", both, site=output.site, labels=tuple(COLORS), frequency=frequency)
    top = max(highest(spectra, "power"), highest(spectra, "shuffled_power"))
    return Table(rows, colors=COLORS, limits={"share": (0.0, 1.05 * top or 1.0)})
