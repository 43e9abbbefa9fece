"""Whether the right answer leads the one wrong answer that the task names: when, by how much, on how many inputs."""

import numpy as np

from miscope.instruments.logit_difference.measure import LogitDifference
from miscope.plugin import Artifact, Context, Table, joined, lines, long, once, over_steps, view

SHARES = np.linspace(0, 1, 101)
SPLITS = ("train", "test")


@view(
    question="When does the network prefer the right answer to the distractor?",
    reading="The logit of the right answer minus that of the distractor, averaged over inputs. If both curves rise "
    "together, the circuit also works on inputs that the network was not trained on.",
    draw=lines("step", "difference", "split", titles={"difference": "logit difference"}),
)
def overview(differences: Artifact[LogitDifference], context: Context) -> Table:
    """One row per (split, step); `difference` is the mean logit difference over inputs. An empty split has no row."""
    values = over_steps(differences, "train_mean", "test_mean").T
    return Table(long("difference", values, split=SPLITS, step=differences.steps), marks={"chance": 0.0})


@view(
    question="On how many inputs is the right answer ahead, and by how much?",
    reading="Inputs sorted by their logit difference. The curve crosses 0 at the share of inputs on which the "
    "distractor is ahead; a jump separates inputs that the network treats differently.",
    draw=lines("inputs", "difference", "split", titles={"inputs": "share of inputs", "difference": "logit difference"}),
)
def distribution(differences: Artifact[LogitDifference], context: Context, step: int) -> Table:
    """One row per (split, share of inputs): that share of the split's inputs lies at or below `difference`."""
    output = differences[step]
    by_split = {"train": output.difference[output.is_train], "test": output.difference[~output.is_train]}
    quantiles = {name: np.quantile(of, SHARES) for name, of in by_split.items() if len(of)}
    rows = joined([long("difference", q, inputs=SHARES) for q in quantiles.values()], tuple(quantiles), "split")
    return Table(rows, limits={"difference": _range(differences)}, marks={"chance": 0.0})


@view(
    question="Does the network find the two candidates before it finds the right one?",
    reading="Top: the probability of right answer and distractor together. Bottom: the share of inputs on which the "
    "right answer is ahead. A probability of 1 with half of the inputs right is a network that guesses between the "
    "two.",
    draw=lines("step", "share", "split", "quantity"),
)
def shares(differences: Artifact[LogitDifference], context: Context) -> Table:
    """One row per (quantity, split, step); `share` in [0, 1], of probability or of inputs."""
    parts = [
        long("share", over_steps(differences, *names).T, split=SPLITS, step=differences.steps)
        for names in (("train_mass", "test_mass"), ("train_positive", "test_positive"))
    ]
    rows = joined(parts, ("probability of the two answers", "inputs on which the right one leads"), "quantity")
    return Table(rows, limits={"share": (0.0, 1.05)}, marks={"1/2": 0.5})


@once
def _range(differences: Artifact[LogitDifference]) -> tuple[float, float]:
    """The least and the largest difference over training, and some room."""
    every = differences.stack("difference")
    low, high = min(0.0, float(every.min())), max(0.0, float(every.max()))
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room
