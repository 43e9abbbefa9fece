"""When the network comes to answer each input right for good, how many it has, and which it keeps forgetting."""

import numpy as np
import pandas as pd
from jaxtyping import Bool

from miscope.instruments.first_learned_step.measure import FirstLearnedStep
from miscope.plugin import Context, NotApplicable, Table, heatmap, lines, long, probe_axes, view


@view(
    question="From which step on is each input answered right?",
    reading="The first of three successive checkpoints at which the input is answered right (the setting `hold` "
    "changes the number); white: never. Dark cells are inputs that the network memorises, bright cells inputs that it "
    "generalises to.",
    draw=heatmap("b", "a", "learned_step", is_square=True, height=430, titles={"learned_step": "first learned step"}),
)
def overview(learned: FirstLearnedStep, context: Context) -> Table:
    """One row per probe input that is learned; `learned_step` is the first of the checkpoints that count."""
    if np.isnan(learned.learned_step).all():
        raise NotApplicable(f"No input is answered right at {learned.hold} checkpoints in a row.")
    axes, titles = probe_axes(context)
    rows = pd.DataFrame({**axes, "learned_step": learned.learned_step, "is_train": learned.is_train})
    kept, limits = rows.dropna(ignore_index=True), {"learned_step": (float(learned.steps[0]), float(learned.steps[-1]))}
    note = f"{len(rows) - len(kept):,} of {len(rows):,} inputs never do"
    return Table(kept, titles=titles, limits=limits, when="", note=note)


@view(
    question="Which inputs does the network forget?",
    reading="How often an input was right at one checkpoint and wrong at the next. Memorised inputs are rarely "
    "forgotten. A large number means that the network guesses, or that two solutions compete for the input.",
    draw=heatmap("b", "a", "times", is_square=True, height=430, titles={"times": "times forgotten"}),
)
def forgotten(learned: FirstLearnedStep, context: Context) -> Table:
    """One row per probe input; `times` it was right at a checkpoint and wrong at the next."""
    axes, titles = probe_axes(context)
    times = learned.n_forgotten.astype(np.float32)
    by_split = [f"{name} {times[chosen].mean():.2f}" for name, chosen in _splits(learned).items()]
    note = f"times forgotten on average: {', '.join(by_split)}"
    rows = pd.DataFrame({**axes, "times": times, "is_train": learned.is_train})
    return Table(rows, titles=titles, limits={"times": (0.0, max(1.0, float(times.max())))}, when="", note=note)


@view(
    question="How many inputs has the network learned?",
    reading="The share of inputs that are learned, at the first of the successive checkpoints, so that it cannot rise "
    "at the last ones. The gap between the curves is what the network has memorised without generalising.",
    draw=lines("step", "share", "split", titles={"share": "share of inputs learned"}),
    null="overview",
)
def share(learned: FirstLearnedStep, context: Context) -> Table:
    """One row per (split, step); `share` of the split's inputs that are learned. An empty split has no row."""
    is_learned, splits = learned.learned_step <= learned.steps[:, None], _splits(learned)  # [step input]
    shares = np.stack([is_learned[:, chosen].mean(axis=1) for chosen in splits.values()])
    return Table(long("share", shares, split=tuple(splits), step=learned.steps), limits={"share": (0.0, 1.03)})


def _splits(learned: FirstLearnedStep) -> dict[str, Bool[np.ndarray, " batch"]]:
    """Those that have inputs."""
    splits = {"train": learned.is_train, "test": ~learned.is_train}
    return {name: chosen for name, chosen in splits.items() if chosen.any()}
