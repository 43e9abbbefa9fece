r"""The loss at every position of the context, and what the context is worth: the in-context-learning score.

A network that uses nothing but the present token has the same loss everywhere (score 0, before training too). One that
reads what came before does better the more there is: small language models come to about -0.4 nats.

Maths: $z$ is the logits of input $x$ at position $i$ and $y$ the answer asked there; means are over the test inputs
that are asked at $i$.
$$\ell_i = \operatorname{mean}_x \bigl(-\ln \operatorname{softmax}(z)_y\bigr), \qquad
\text{score} = \operatorname{mean}_{i \,\text{in last tenth}} \ell_i
- \operatorname{mean}_{i \,\text{in first tenth}} \ell_i.$$
`test_loss` is $\ell$; a tenth of $m$ positions is $\lfloor m / 10 \rfloor$ of them, at least one.

Source: Olsson et al. 2022, arXiv:2209.11895, argument 1 (there the loss at token 500 minus that at token 50; here, as
contexts are short, the last tenth of the positions that the task asks at minus the first tenth).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.core import Checkpoint, Context, NotApplicable
from miscope.instrument import Output, PerCheckpoint
from miscope.maths.statistics import answers


@dataclass(frozen=True)
class LossByPosition(Output):
    position: Int[np.ndarray, " asked"]  # those at which some input of the probe asks for an answer
    test_loss: Float[np.ndarray, " asked"]  # mean over test inputs in nats; NaN: none asks there
    train_loss: Float[np.ndarray, " asked"]
    score: float | None  # in-context learning, on test inputs: last tenth minus first tenth; below 0: context helps


def loss_by_position(checkpoint: Checkpoint, context: Context) -> LossByPosition:
    """Mean cross-entropy at each position, float64, by what the probe says is right there."""
    following = context.probe.following
    if following is None or (following >= 0).any(axis=0).sum() < 2:
        raise NotApplicable("The task asks for one answer, so there is no loss at other positions.")
    position = np.flatnonzero((following >= 0).any(axis=0))
    logits = checkpoint.activations["logits"]
    test, train = (
        np.array([_mean_loss(logits[chosen, i], following[chosen, i]) for i in position])
        for chosen in (~context.probe.is_train, context.probe.is_train)
    )
    return LossByPosition(position, test, train, _score(test))


def _mean_loss(logits: Float[np.ndarray, "batch vocab"], right: Int[np.ndarray, " batch"]) -> float:
    asked = right >= 0
    return float(answers(logits[asked], right[asked]).loss.mean()) if asked.any() else float("nan")


def _score(loss: Float[np.ndarray, " asked"]) -> float | None:
    measured = loss[np.isfinite(loss)]
    tenth = max(1, len(measured) // 10)
    return float(measured[-tenth:].mean() - measured[:tenth].mean()) if len(measured) >= 2 else None


def measures(found: LossByPosition) -> dict[str, float]:
    """What the context is worth, in nats; below 0 it helps."""
    return {} if found.score is None else {"in_context_score": found.score}


analyzer = PerCheckpoint(loss_by_position, needs=("logits",), positions="all", measures=measures)
