"""Which sets of bits the output depends on: the right one and its rank, how many bits at once, and which are tried."""

import numpy as np

from miscope.instruments.walsh_spectrum.measure import FLOOR, WalshSpectrum, set_name
from miscope.plugin import Artifact, Context, NotApplicable, Table, bars, heatmap, lines, long, over_steps, theme, view

Spectra = Artifact[WalshSpectrum]
LEAST = 1e-9  # shares below are noise of float32 logits
CHANCE = "chance"
MIDDLE = "chance: the middle"
OTHERS = "other sets of its size"


@view(
    question="When does the right set of bits dominate the output?",
    reading="The share of the output's energy at the set whose parity is the answer, and at the strongest other set, "
    "on a logarithmic axis. If the target grows by orders of magnitude while the loss is flat, that is hidden "
    "progress; when the task is solved, it is near 1. Chance is 1 over the number of sets.",
    draw=lines("step", "share", "set", log_y=True, titles={"share": "share of energy"}),
)
def overview(spectra: Spectra, context: Context) -> Table:
    """One row per (set, step); `share` of the margin's energy, sums to 1 over all sets. Shares are floored at 1e-9."""
    last = spectra.last
    others = [o.strongest_share[np.array(o.strongest) != o.target].max() for o in spectra.values()]
    values = [(o.target_share, other, o.chance_share) for o, other in zip(spectra.values(), others, strict=True)]
    shares, sets = np.maximum(np.array(values).T, LEAST), (f"target: {last.target}", "strongest other set", CHANCE)
    rows, limits = long("share", shares, set=sets, step=spectra.steps), {"share": (0.5 * float(shares.min()), 1.5)}
    note = f"chance, the share of one set in a random function, is {last.chance_share:.2g}"
    return Table(rows, limits=limits, colors={CHANCE: theme.GREY}, note=note)


@view(
    question="Does the right set of bits grow while the loss is flat?",
    reading="The size of the output's coefficient for the set whose parity is the answer, in logits, on a logarithmic "
    "axis. Grey: the root mean square of all other sets of as many bits, the size of noise. The curves separate while "
    "the loss is still at ln 2.",
    draw=lines("step", "coefficient", "set", log_y=True, titles={"coefficient": "coefficient (logits)"}),
)
def coefficient(spectra: Spectra, context: Context) -> Table:
    """One row per (set, step); `coefficient` in logits without its sign, floored at 1e-6; of the others the rms."""
    values = np.abs(over_steps(spectra, "target_coefficient", "other_coefficient")).T
    floored = np.maximum(values, FLOOR)  # NaN, where there are no others, stays
    rows = long("coefficient", floored, set=(f"target: {spectra.last.target}", OTHERS), step=spectra.steps)
    return Table(rows, colors={OTHERS: theme.GREY})


@view(
    question="On sets of how many bits does the output depend?",
    reading="Each row is a size of sets, bright where sets of that many bits have much of the output's energy; row 0 "
    "is the constant. A network starts with few bits; the row of the target's size becomes bright when the task is "
    "solved.",
    draw=heatmap("step", "degree", "share", titles={"degree": "bits in the set", "share": "share of energy"}),
)
def degrees(spectra: Spectra, context: Context) -> Table:
    """One row per (step, degree); `share` of the margin's energy on sets of so many bits, 0 the constant."""
    shares, chance = spectra.stack("degree_share"), spectra.last.chance_degree_share
    rows = long("share", shares, step=spectra.steps, degree=np.arange(shares.shape[1]))
    note = f"target: {spectra.last.target}; by chance at most {chance.max():.0%}, at degree {chance.argmax()}"
    return Table(rows, limits={"share": (0.0, 1.0)}, note=note)


@view(
    question="What rank has the right set among the sets of its size?",
    reading="The rank of the coefficient of the set whose parity is the answer, among all sets of as many bits; 1 is "
    "the largest. By chance every rank is equally likely. If the rank stays at 1 while the loss is flat, that is "
    "hidden progress.",
    draw=lines("step", "rank", "set", log_y=True, titles={"rank": "rank (1: largest)"}),
)
def rank(spectra: Spectra, context: Context) -> Table:
    """One row per (set, step); `rank` of the target's coefficient among the sets of its size, 1 the largest.

    The rank is ours: it has a null, every place with equal chance, whatever the scale of the logits.
    """
    n_sets, ranks = spectra.last.n_of_its_size, spectra.stack("target_rank")
    if n_sets == 1:
        raise NotApplicable("The target is the only set of its size, so it has no rank.")
    values = np.stack([ranks, np.full(len(ranks), (n_sets + 1) / 2)])
    rows = long("rank", values, set=(f"target: {spectra.last.target}", MIDDLE), step=spectra.steps)
    limits, note = {"rank": (0.8, 1.25 * n_sets)}, f"{n_sets} sets of its size"
    return Table(rows, limits=limits, colors={MIDDLE: theme.GREY}, note=note)


@view(
    question="How is the output's energy distributed over sets of few and of many bits?",
    reading="The share of the output's energy at sets of each size (0 is the constant), beside that of a random "
    "function. The three strongest sets are named above with their shares.",
    draw=bars(
        "degree", "share", "function", is_stacked=False,
        titles={"degree": "bits in the set", "share": "share of energy"},
    ),
)  # fmt: skip
def spectrum(spectra: Spectra, context: Context, step: int) -> Table:
    """One row per (function, degree); `share` of the energy on sets of so many bits, of the network and by chance."""
    output = spectra[step]
    shares = np.stack([output.degree_share, output.chance_degree_share])
    strongest = zip(output.strongest[:3], output.strongest_share[:3], strict=True)
    rows = long("share", shares, function=("network", CHANCE), degree=np.arange(shares.shape[1]))
    note = "strongest: " + ", ".join(f"{name} {share:.2g}" for name, share in strongest)
    return Table(rows, limits={"share": (0.0, 1.05)}, note=note)


@view(
    question="Which sets of bits does the output try, keep and drop?",
    reading="One curve for each set that has most of the output's energy at some step. Before the task is solved, "
    "single bits and the constant come and go.",
    draw=lines("step", "share", "set", titles={"share": "share of energy"}, labelled=True),
    null="overview",
)
def strongest(spectra: Spectra, context: Context, *, n: int = 6) -> Table:
    """One row per (set, step) for the `n` sets that ever hold most; `share` of the margin's energy, in [0, 1]."""
    squares, last = spectra.stack("coefficient").astype(np.float64) ** 2, spectra.last
    totals = squares.sum(axis=1, keepdims=True)
    shares = np.divide(squares, totals, out=np.zeros_like(squares), where=totals > 0)
    chosen = np.argsort(-shares.max(axis=0), kind="stable")[:n]
    names = [set_name(code, last.bit) for code in chosen.tolist()]
    rows = long("share", shares[:, chosen].T, set=names, step=spectra.steps)
    note = f"target: {last.target}; by chance a set has {last.chance_share:.2g}"
    return Table(rows, limits={"share": (0.0, 1.05)}, note=note)
