"""Shows when the network comes to prefer the right answer to the distractor."""

import pandas as pd
from miscope.views.shared.guessing import judged
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.logit_difference import LogitDifference, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import leads


def table(differences: Artifact[LogitDifference], context: Context) -> pd.DataFrame:
    """One row per (split, step); `difference` is the mean logit difference over inputs. An empty split has no row."""
    values = over_steps(differences, "train_mean", "test_mean").T
    found = long("difference", values, split=("train", "test"), step=differences.steps)
    found.attrs |= {"marks": {"chance": 0.0}, "null": _verdict(differences[differences.steps[-1]], context)}
    return found


def _verdict(last: LogitDifference, context: Context) -> str:
    split, chosen = judged(context.probe)
    mean, spread = (getattr(last, f"{split}_{name}") for name in ("mean", "std"))
    return leads.of_mean(f"mean {split} difference", mean, spread, leads.toss_ups(context, chosen))


view = View(
    question="When does the network prefer the right answer to the distractor?",
    reading="The logit of the right answer minus that of the distractor, mean over inputs. A "
    "rise of both curves together is a circuit that also decides inputs it was not trained on.",
    needs=analyzer,
    table=table,
    draw=lines("step", "difference", "split", titles={"difference": "logit difference"}),
)
