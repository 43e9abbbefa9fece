"""What guessing reaches: the best of all answers that do not look at the input, and luck on a finite sample."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float

from miscope.analyzers.losses import Losses
from miscope.core import Artifact, Context, Probe
from miscope.maths.null_distributions import RARE
from miscope.views.shared import nulls
from miscope.views.shared.nulls import percent

SOURCE = "99 % of guesses"
DIGITS = 2.0**-11  # of a probability that is stored as a half float, relative
LEAST = 2.0**-25  # half of the least one


def deviates(looks: int = 1) -> float:
    """The standard deviations that one look of so many stays below, all of them with a probability of 99 %."""
    return NormalDist().inv_cdf(1 - RARE / looks)


def judged(probe: Probe) -> tuple[str, Bool[np.ndarray, " batch"]]:
    """The split that tells whether a network has learned: the test inputs, or where there are none all of them."""
    return ("test", ~probe.is_train) if not probe.is_train.all() else ("train", probe.is_train)


def chance(probe: Probe, chosen: Bool[np.ndarray, " batch"]) -> float:
    """The share of the chosen inputs on which the best single answer is right."""
    if probe.allowed is not None:
        return float(probe.allowed[chosen].mean(axis=0).max())
    return float(np.bincount(probe.targets[chosen]).max() / chosen.sum())


@lru_cache(maxsize=256)
def luckiest_share(n: int, chance: float, looks: int = 1) -> float:
    """The largest share of n inputs that guessing gets right with a probability of 99 %, over that many looks.

    From the binomial distribution of n independent guesses, each right with probability `chance`.
    """
    if not 0 < chance < 1:
        return float(chance)
    ratios = np.log(np.arange(n, 0, -1) / np.arange(1, n + 1)) + np.log(chance / (1 - chance))
    logs = n * np.log1p(-chance) + np.concatenate([[0.0], np.cumsum(ratios)])
    return int(np.searchsorted(np.cumsum(np.exp(logs)), 1 - RARE / looks)) / n


def of_share(what: str, found: float, context: Context, chosen: Bool[np.ndarray, " batch"], looks: int = 1) -> str:
    """The verdict on the share of the chosen inputs that are answered right."""
    null = luckiest_share(int(chosen.sum()), chance(context.probe, chosen), looks) if chosen.any() else np.nan
    return nulls.against(what, found, null, SOURCE, text=percent)


def times_forgotten(n_steps: int, chance: float) -> float:
    """How often an input is right at one of so many checkpoints and wrong at the next, if all are guessed anew.

    The mean over inputs, at most, with a probability of 99 %: where a network gives all inputs one answer, they are
    forgotten together, and so there may be as much luck in each pair of checkpoints as the mean itself.
    """
    pairs = n_steps - 1
    return chance * (1 - chance) * (pairs + deviates() * pairs**0.5)


def of_accuracy(context: Context, found: Bool[np.ndarray, " batch"], what: str = "{} accuracy", looks: int = 1) -> str:
    """The verdict on which inputs are right, by the split that tells; its name goes into `what`."""
    split, chosen = judged(context.probe)
    return of_share(what.format(split), float(found[chosen].mean()), context, chosen, looks)


def of_confidence(
    context: Context, confidence: Float[np.ndarray, " batch"], chosen: Bool[np.ndarray, " batch"], looks: int = 1
) -> str:
    """The verdict on the mean probability of the right answer."""
    values = np.asarray(confidence, dtype=np.float64)[chosen]
    if not len(values):
        return nulls.none("there are no such inputs")
    even = chance(context.probe, chosen)
    null = even * (1 + DIGITS) + deviates(looks) * values.std() / len(values) ** 0.5
    return nulls.against("mean probability of the right answer", float(values.mean()), null, SOURCE, text=percent)


def of_loss(losses: Artifact[Losses], context: Context) -> str:
    """The verdict on the loss at the last step: below that of the answers' shares, luck with their order aside."""
    last, (split, chosen) = losses[losses.steps[-1]], judged(context.probe)
    found = last.test_loss if split == "test" else last.train_loss
    per_input = -np.log(np.maximum(np.asarray(last.confidence, dtype=np.float64)[chosen], LEAST))
    luck = deviates() * max(per_input.std(), DIGITS) / chosen.sum() ** 0.5
    null = entropy(context.probe, chosen) - luck
    return nulls.against(f"{split} loss", np.nan if found is None else found, null, SOURCE, is_lower=True)


def entropy(probe: Probe, chosen: Bool[np.ndarray, " batch"]) -> float:
    """The loss in nats of the best guess on the chosen inputs: the entropy of the right answers, ln n where even."""
    shares = np.bincount(probe.targets[chosen]) / chosen.sum()
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
