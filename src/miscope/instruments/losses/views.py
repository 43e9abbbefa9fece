"""How well the network answers, over training and input by input."""

from typing import Literal

import numpy as np
import pandas as pd

from miscope.instruments.losses.measure import Losses
from miscope.plugin import Artifact, Context, Table, categorical_heatmap, heatmap, lines, view
from miscope.renderers.tidy import joined, long, over_steps, probe_axes

PROBABILITY = "probability of the right answer"
OUTCOMES = {"train, right": "#0072B2", "train, wrong": "#8C2D04", "test, right": "#9ECAE1", "test, wrong": "#FDAE6B"}


@view(
    question="When does the network memorise, and when does it generalise?",
    reading="Train loss falls first: memorisation. Grokking is the later fall of the test loss. The axis is "
    "logarithmic.",
    draw=lines("step", "loss", "split", log_y=True, titles={"loss": "loss (nats)"}),
)
def overview(losses: Artifact[Losses], context: Context) -> Table:
    """One row per (step, split); `loss` is the mean cross-entropy in nats. A split without inputs has no row."""
    return Table(_by_split("loss", losses, "train_loss", "test_loss"))


@view(
    question="What share of the inputs does the network answer right?",
    reading="Train accuracy near 1 with low test accuracy is memorisation. The gap closes when the network "
    "generalises.",
    draw=lines("step", "accuracy", "split"),
)
def accuracy(losses: Artifact[Losses], context: Context) -> Table:
    """One row per (step, split); `accuracy` in [0, 1]. A split without inputs has no row."""
    return Table(_by_split("accuracy", losses, "train_accuracy", "test_accuracy"), limits={"accuracy": (-0.03, 1.03)})


@view(
    question="Are some answers learned before others?",
    reading="Each row is one right answer, for train and test inputs together. Rows that turn yellow at the same step "
    "are learned at once; a ragged edge means that some answers are learned earlier.",
    draw=heatmap("step", "class", "accuracy", titles={"class": "right answer"}),
)
def class_accuracy(losses: Artifact[Losses], context: Context) -> Table:
    """One row per (step, class); `accuracy` in [0, 1] over all inputs whose right answer is that class."""
    values = losses.stack("class_accuracy")
    rows = long("accuracy", values, step=losses.steps, **{"class": np.arange(values.shape[1])})
    return Table(rows, limits={"accuracy": (0.0, 1.0)})


@view(
    question="How confident is the network in the right answer of each input?",
    reading="Yellow: the right answer has probability 1. While the network memorises, the bright cells are the "
    "training inputs; the option `inputs` shows only the training inputs or only the others.",
    draw=heatmap("b", "a", "confidence", is_square=True, height=430, titles={"confidence": PROBABILITY}),
)
def confidence(
    losses: Artifact[Losses], context: Context, step: int, *, inputs: Literal["all", "train", "test"] = "all"
) -> Table:
    """One row per probe input of the chosen split; `confidence` is the probability of the right answer."""
    (axes, titles), output = probe_axes(context), losses[step]
    split = pd.Categorical.from_codes((~output.is_train).astype(np.int8), categories=["train", "test"])
    chosen = np.ones_like(output.is_train) if inputs == "all" else split == inputs
    rows = pd.DataFrame({**axes, "confidence": output.confidence.astype(np.float32), "split": split})
    rows = rows[chosen].reset_index(drop=True)
    return Table(rows, titles=titles, limits={"confidence": (0.0, 1.0)}, note=f"{inputs} inputs")


@view(
    question="Which inputs does the network answer right?",
    reading="Blue is right, orange is wrong; dark cells are training inputs. Dark blue on orange is memorisation; a "
    "network that generalises is blue everywhere.",
    draw=categorical_heatmap("b", "a", "outcome", is_square=True, height=430),
)
def correctness(losses: Artifact[Losses], context: Context, step: int) -> Table:
    """One row per probe input; `outcome` says its split and whether the answer is right."""
    (axes, titles), output = probe_axes(context), losses[step]
    codes = 2 * (~output.is_train).astype(np.int8) + (~output.is_correct).astype(np.int8)
    rows = pd.DataFrame({**axes, "outcome": pd.Categorical.from_codes(codes, categories=list(OUTCOMES))})
    return Table(rows, titles=titles, colors=OUTCOMES)


@view(
    question="How large is the margin of the right answer?",
    reading="The margin is the right logit minus the largest wrong one: above zero, the answer is right. The network "
    "has learned every input of a split when the smallest margin of that split is above zero.",
    draw=lines("step", "margin", "split", "statistic", titles={"margin": "margin (logits)"}),
)
def margins(losses: Artifact[Losses], context: Context) -> Table:
    """One row per (statistic, split, step); `margin` is the right logit minus the best wrong one."""
    parts = [_by_split("margin", losses, f"train_margin_{name}", f"test_margin_{name}") for name in ("mean", "min")]
    return Table(joined(parts, ("mean over inputs", "worst input"), "statistic"), marks={"a tie": 0.0})


def _by_split(name: str, losses: Artifact[Losses], *fields: str) -> pd.DataFrame:
    """A field of the train inputs and one of the test inputs, as rows of (split, step)."""
    values = over_steps(losses, *fields)
    return long(name, values, step=losses.steps, split=("train", "test")).sort_values(["split", "step"])
