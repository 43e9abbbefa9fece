r"""The one classifier of phases: what a network was doing when, and whether more training would change it.

It reads only the losses and the participation ratios. An event has the step of a checkpoint, and lies between it and
the checkpoint before. "Lasting" means: at every later checkpoint too; for the test loss, up to the checkpoint at which
the task is grokked, because later spikes do not count.

* memorisation: until train accuracy reaches 0.99, or the test loss starts to fall, whichever comes first.
* plateau: until the test loss starts to fall: it is 10 % below its peak, lasting, and later halves, lasting.
* circuit formation: until the onset, when the test loss is 80 % below its peak, lasting.
* cleanup: until the test loss reaches the family's `solved_loss` (grokked), or if it never does, until the test
  accuracy reaches the family's `solved_accuracy`, lasting (solved).
* after: to the end.

The peak is the largest test loss. If it never rises 10 % above its first value, there is no `test_peak_step`, and falls
are measured from that largest value, which is chance. Without test inputs, memorisation is followed by `after`; without
known training inputs, the plateau comes first. A healthy grokking run has all five phases.

Maths: $\ell(t)$ is the test loss at step $t$, $\ell_{\max}$ its largest value, $t_g$ `grokked_step`, or the last step
$T$ where that is absent.
$$\text{grokked\_step} = \min \{\, t : \ell(t) \le \text{solved\_loss} \,\}, \qquad
\text{onset\_step} = \min \{\, t : \ell(t') \le 0.2 \, \ell_{\max} \text{ for } t \le t' \le t_g \,\}.$$
0.2 is 1 less the setting `onset_fall`; with 1 less `fall` the same ends the plateau, if $\ell$ goes on to halve.
`test_peak_step` is where $\ell = \ell_{\max}$, if that is above $1.1 \, \ell(0)$ and not at $T$. With the singular
values $s_i$ of a matrix, $\operatorname{PR} = (\sum_i s_i)^2 / \sum_i s_i^2$ and
$D = \operatorname{PR}(W_{out}) - \operatorname{PR}(W_{in})$,
$$\text{crossover\_step} =
\min \{\, t : \operatorname{sign} D(t') = \operatorname{sign} D(T) \text{ for } t' \ge t \,\};$$
absent where that is the first step.

Source: Nanda et al. 2023, arXiv:2301.05217, section 5.2: memorisation 0-1.4k, circuit formation 1.4k-9.4k, cleanup
9.4k-14k. There restricted and excluded loss draw the first line; from losses alone it cannot be drawn so early: what
we call circuit formation starts late, and the plateau in front of it is not idle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from miscope.instruments._shared import guessing
from miscope.instruments.losses.measure import Losses
from miscope.instruments.losses.measure import instrument as losses_instrument
from miscope.instruments.singular_values.measure import SingularValues
from miscope.instruments.singular_values.measure import instrument as singular_values_instrument
from miscope.maths.statistics import lasting_from
from miscope.plugin import Artifact, Context, Null, Output, OverTraining

Steps = Int[np.ndarray, " n"]
Curve = Float[np.ndarray, " n"]
NAMES = ("memorisation", "plateau", "circuit formation", "cleanup", "after")
LATE = 0.25  # the last part of training that tells whether the test loss still moves
STILL_FALLING = 0.02  # share of itself that a test loss loses over that part, if training on is worth while


@dataclass(frozen=True)
class Phases(Output):
    steps: Steps
    accuracy: float  # at the last step, of the test inputs; of the training inputs where there are no others
    phase: tuple[str, ...]  # in order, without gaps from the first step to the last; absent ones are left out
    phase_start: Int[np.ndarray, " phase"]  # step
    phase_end: Int[np.ndarray, " phase"]  # step; the next one's start
    memorised_step: int | None  # train accuracy first at `memorised_accuracy`
    test_peak_step: int | None  # test loss at its largest, above chance and with a fall behind it
    onset_step: int | None  # test loss `onset_fall` below its largest, lasting
    solved_step: int | None  # test accuracy at the family's `solved_accuracy`, lasting
    grokked_step: int | None  # test loss first at the family's `solved_loss`
    crossover_step: int | None  # PR(W_out) - PR(W_in) of the last MLP takes the sign it keeps; before, another
    verdict: str  # `done`; `continue`: something still moves; `stop`: nothing does, or the loss is not finite
    reasons: tuple[str, ...]  # sentences for the verdict


class _Curves(NamedTuple):
    """Losses over training; NaN where a split has no inputs."""

    steps: Steps
    train_accuracy: Curve
    test_accuracy: Curve
    test_loss: Curve
    all_loss: Curve

    @property
    def has_train(self) -> bool:
        return bool(np.isfinite(self.train_accuracy).any())

    @property
    def has_test(self) -> bool:
        return bool(np.isfinite(self.test_accuracy).any())

    @property
    def late_start(self) -> float:
        return float(self.steps[-1] - LATE * (self.steps[-1] - self.steps[0]))


class _Events(NamedTuple):
    """Steps; None where absent."""

    memorised_step: int | None
    test_peak_step: int | None
    onset_step: int | None
    solved_step: int | None
    grokked_step: int | None


def phases(
    losses: Artifact[Losses], singular_values: Artifact[SingularValues], context: Context, *,
    memorised_accuracy: float = 0.99, fall: float = 0.1, onset_fall: float = 0.8,
) -> Phases:  # fmt: skip
    """Events, the phases between them, and a verdict with its reasons."""
    rows = [(x.train_accuracy, x.test_accuracy, x.test_loss, x.all_loss) for x in losses.values()]
    curves = _Curves(np.array(losses.steps, dtype=np.int64), *np.array(rows, dtype=np.float64).T)
    events, falls_from = _events(curves, context, memorised_accuracy, fall, onset_fall)
    verdict, reasons = _verdict(curves, events, context)
    return Phases(
        steps=curves.steps,
        accuracy=float((curves.test_accuracy if curves.has_test else curves.train_accuracy)[-1]),
        crossover_step=_crossover_step(singular_values),
        verdict=verdict,
        reasons=reasons,
        **events._asdict(),
        **_segments(curves, events, falls_from),
    )


def _events(
    curves: _Curves, context: Context, memorised_accuracy: float, fall: float, onset_fall: float
) -> tuple[_Events, int | None]:
    """The events, and the step from which the test loss falls, which ends the plateau."""
    steps, loss = curves.steps, curves.test_loss
    grokked = _first(steps, loss <= context.solved_loss)
    largest = loss.max(initial=-np.inf, where=np.isfinite(loss))
    falling = loss if grokked is None else loss[steps <= grokked]
    halves = _lasting(steps, falling <= 0.5 * largest)
    events = _Events(
        memorised_step=_first(steps, curves.train_accuracy >= memorised_accuracy),
        test_peak_step=_peak(steps, loss),
        onset_step=_lasting(steps, falling <= (1 - onset_fall) * largest),
        solved_step=_lasting(steps, curves.test_accuracy >= context.solved_accuracy),
        grokked_step=grokked,
    )
    return events, None if halves is None else _lasting(steps, falling <= (1 - fall) * largest)


def _first(steps: Steps, holds: Bool[np.ndarray, " n"]) -> int | None:
    return int(steps[holds.argmax()]) if holds.any() else None


def _lasting(steps: Steps, holds: Bool[np.ndarray, " seen"]) -> int | None:
    """The step from which it holds to the end of what is seen, the first checkpoints; None: it does not."""
    index = int(lasting_from(holds))
    return int(steps[index]) if index < len(holds) else None


def _peak(steps: Steps, loss: Curve) -> int | None:
    """The largest test loss; none if it is still the last one, or less than 10 % above the first."""
    finite = np.where(np.isfinite(loss), loss, -np.inf)
    top = int(finite.argmax())
    return int(steps[top]) if top < len(steps) - 1 and finite[top] > 1.1 * loss[0] else None


def _crossover_step(singular_values: Artifact[SingularValues]) -> int | None:
    """From where PR(W_out) - PR(W_in) of the last MLP has its last sign; None: there is none, or it always has it."""
    names = singular_values.last.matrix
    inputs = [name for name in names if name.endswith(".mlp.W_in")]
    if not inputs:
        return None
    ratios = singular_values.stack("participation_ratio")
    written = ratios[:, names.index(inputs[-1].replace("W_in", "W_out"))]
    signs = np.sign(written - ratios[:, names.index(inputs[-1])])
    since = int(lasting_from(signs == signs[-1]))
    return singular_values.steps[since] if since else None


def _bounds(curves: _Curves, events: _Events, falls_from: int | None) -> list[int | None]:
    """Steps at which each phase but the last ends, never falling; None: it lasts to the end, and none comes after."""
    memorised, _, onset, solved, grokked = events
    if not curves.has_test:
        return [memorised] * 4
    solved = solved if grokked is None else grokked
    onset = solved if onset is None else onset  # solved from the first: nothing to fall from
    fall = onset if falls_from is None else falls_from
    starts = [step for step in (memorised, fall) if step is not None]
    bounds = [min(starts, default=None) if curves.has_train else int(curves.steps[0])]
    for bound in (fall, onset, solved):
        before = bounds[-1]
        bounds.append(None if bound is None or before is None else max(bound, before))
    return bounds


def _segments(curves: _Curves, events: _Events, falls_from: int | None) -> dict[str, Any]:
    """The phases that take time, by the Output's names; with one checkpoint, the phase that it is in."""
    bounds, first, last = _bounds(curves, events, falls_from), int(curves.steps[0]), int(curves.steps[-1])
    ends = [*(last if bound is None else bound for bound in bounds), last]
    reached = bounds.index(None) if None in bounds else len(bounds)
    starts = [first, *ends[:-1]]
    kept = [i for i in range(len(NAMES)) if ends[i] > starts[i]] or [reached]
    start, end = (np.array([steps[i] for i in kept]) for steps in (starts, ends))
    return {"phase": tuple(NAMES[i] for i in kept), "phase_start": start, "phase_end": end}


def _verdict(curves: _Curves, events: _Events, context: Context) -> tuple[str, tuple[str, ...]]:
    broken = _first(curves.steps, ~np.isfinite(curves.all_loss))
    if broken is not None:
        return "stop", (f"The loss is not finite at step {broken:,}.",)
    memorised, grokked, solved = events.memorised_step, events.grokked_step, events.solved_step
    if not curves.has_test:
        reason = "The probe has no test inputs, so generalisation cannot be seen."
        if memorised is None:
            return "continue", (reason, "The training inputs are not learned yet.")
        return "done", (reason, f"The training inputs are learned since step {memorised:,}.")
    if grokked is not None:
        return "done", (f"The test loss came down to {context.solved_loss:g} nats at step {grokked:,}.",)
    is_falling, trend = _trend(curves)
    if solved is not None:
        reason = f"The test accuracy has been at {context.solved_accuracy:g} or above since step {solved:,}."
        return "continue" if is_falling else "done", (reason, trend)
    return _verdict_unsolved(curves, memorised, is_falling, trend)


def _verdict_unsolved(
    curves: _Curves, memorised: int | None, is_falling: bool, trend: str
) -> tuple[str, tuple[str, ...]]:
    accuracy = f"The test accuracy is {curves.test_accuracy[-1]:.3f} at the last checkpoint."
    if len(curves.steps) == 1:
        return "continue", (accuracy, "One checkpoint shows no trend.")
    if curves.has_train and memorised is None:
        return "continue", (accuracy, "The training inputs are not learned yet.")
    if memorised is None:
        reason = "Which inputs the network trained on is not known."
    else:
        reason = f"The training inputs are learned since step {memorised:,} of {curves.steps[-1]:,}."
        if memorised > curves.late_start:
            return "continue", (accuracy, reason, "That is too recent to judge.")
    return "continue" if is_falling else "stop", (accuracy, reason, trend)


def _trend(curves: _Curves) -> tuple[bool, str]:
    """Whether the test loss still falls, from the last checkpoint before the late part to the end, and the sentence."""
    at = max(0, int(np.searchsorted(curves.steps, curves.late_start, side="right")) - 1)
    before, now = curves.test_loss[at], curves.test_loss[-1]
    is_falling = bool(now < (1 - STILL_FALLING) * before)
    says = "still falls" if is_falling else "no longer falls"
    return is_falling, f"The test loss {says}: {before:.3g} nats at step {curves.steps[at]:,}, {now:.3g} at the end."


def nulls(output: Phases, context: Context) -> Iterator[Null]:
    """Guessing, by the accuracy at the end."""
    split, chosen = guessing.judged(context.probe)
    yield guessing.of_share(f"{split} accuracy at the end", output.accuracy, context, chosen).of("overview")


instrument = OverTraining(phases, needs=(losses_instrument, singular_values_instrument), nulls=nulls)
