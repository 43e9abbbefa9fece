r"""The loss at every position of the context, and how much the context helps: the in-context-learning score.

A network that uses only the current token has the same loss everywhere (score 0, before training too). A network that
uses earlier tokens improves along the context: small language models reach about -0.4 nats.

Maths: $z$ is the logits of input $x$ at position $i$ and $y$ the answer asked there; means are over the test inputs
that are asked at $i$.
$$\ell_i = \operatorname{mean}_x \bigl(-\ln \operatorname{softmax}(z)_y\bigr), \qquad
\text{score} = \operatorname{mean}_{i \,\text{in last tenth}} \ell_i
- \operatorname{mean}_{i \,\text{in first tenth}} \ell_i.$$
`test_loss` is $\ell$; a tenth of $m$ positions is $\lfloor m / 10 \rfloor$ of them, at least one. `guess` is the
entropy of the right answers at $i$.

Source: Olsson et al. 2022, arXiv:2209.11895, argument 1 (there the loss at token 500 minus that at token 50; here, as
contexts are short, the last tenth of the positions that the task asks at minus the first tenth).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from miscope.instruments._shared import guessing
from miscope.instruments._shared.nulls import NO_START
from miscope.maths.statistics import answers
from miscope.plugin import Artifact, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint, Probe

MARGIN = 2.0  # one untrained network's score is beyond twice another's range less than once in 100


@dataclass(frozen=True)
class LossByPosition(Output):
    position: Int[np.ndarray, " asked"]  # those at which some input of the probe asks for an answer
    test_loss: Float[np.ndarray, " asked"]  # mean over test inputs in nats; NaN: none asks there
    train_loss: Float[np.ndarray, " asked"]
    score: float | None  # in-context learning, on test inputs: last tenth minus first tenth; below 0: context helps
    guess: Float[np.ndarray, " asked"]  # the least loss of the same shares of answers for every input; NaN: none asks


def loss_by_position(checkpoint: Checkpoint, context: Context) -> LossByPosition:
    """Mean cross-entropy at each position, float64, by what the probe says is right there."""
    following = context.probe.following
    if following is None or (following >= 0).any(axis=0).sum() < 2:
        raise NotApplicable("The task asks for one answer, so there is no loss at other positions.")
    position = np.flatnonzero((following >= 0).any(axis=0))
    logits = checkpoint.activations["logits"]
    test, train, guess = np.full((3, len(position)), np.nan)
    for i, at in enumerate(position):
        right = following[:, at]
        for loss, split in ((test, ~context.probe.is_train), (train, context.probe.is_train)):
            if (asked := split & (right >= 0)).any():
                loss[i] = answers(logits[asked, at], right[asked]).loss.mean()
        if (asked := guessing.judged(context.probe)[1] & (right >= 0)).any():
            guess[i] = guessing.entropy(replace(context.probe, targets=right), asked)
    measured = test[np.isfinite(test)]
    tenth = max(1, len(measured) // 10)
    score = float(measured[-tenth:].mean() - measured[:tenth].mean()) if len(measured) >= 2 else None
    return LossByPosition(position, test, train, score, guess)


def nulls(losses: Artifact[LossByPosition], context: Context) -> Iterator[Null]:
    """The untrained network's differences between positions, and at each the best guess."""
    yield _of_score(losses).of("overview")
    for step, output in losses.items():
        yield _of_best_position(output, context.probe).of("positions", step)


def _of_score(losses: Artifact[LossByPosition]) -> Null:
    """By how much tenths of the positions differ before training, some of few inputs or always of the same token."""
    score = losses.last.score
    if losses.steps[0] != 0:
        return Null.absent(NO_START)
    if score is None:
        return Null.absent("fewer than two positions have test inputs")
    first = losses[0].test_loss[np.isfinite(losses[0].test_loss)]
    n = max(1, len(first) // 10)
    threshold = 0.0 - MARGIN * float(np.ptp(np.convolve(first, np.full(n, 1 / n), "valid")))
    source = f"the range of tenths of the positions before training with a margin of {MARGIN:g}"
    return Null("in-context-learning score", score, threshold, source, level=None, is_lower=True)


def _of_best_position(output: LossByPosition, probe: Probe) -> Null:
    """Where the loss is furthest below the best guess."""
    split, _ = guessing.judged(probe)
    loss = output.test_loss if split == "test" else output.train_loss
    if not np.isfinite(loss).any():
        return Null.absent(f"no position has {split} inputs")
    best = int(np.nanargmin(loss - np.nan_to_num(output.guess)))
    statistic, threshold = f"{split} loss at position {output.position[best]}", float(output.guess[best])
    return Null(statistic, float(loss[best]), threshold, "the best single guess there", level=None, is_lower=True)


instrument = PerCheckpoint(
    loss_by_position,
    needs=("logits",),
    positions="all",
    measures=lambda output: {} if output.score is None else {"in_context_score": output.score},
    nulls=nulls,
)
