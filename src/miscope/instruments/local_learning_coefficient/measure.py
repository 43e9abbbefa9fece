r"""How many parameters near the network matter for the loss: the local learning coefficient (LLC), by SGLD.

lambda = n_beta (mean loss over the posterior around the network - its own loss). At a regular minimum it is half the
number of parameters; the more degenerate the minimum, the smaller. The estimate is tempered (n_beta = n / ln n by
default, n the train inputs of the probe) and held near the network by `localisation`: chains move up to about
sqrt(parameters / localisation) away, and the value depends on that. Compare it between checkpoints; do not read it as a
count. It assumes a minimum: before training it is often negative, and `doubts` says which estimates not to trust.

Maths: $w_0$ is the network's $P$ parameters, $L_b$ the mean loss on a batch $b$ drawn anew at each draw, $\gamma$ the
`localisation`, $\epsilon$ the `step_size`, $\eta \sim N(0, I)$. Chains start at $w_0$; means are over chains and the
draws after burn-in.
$$w \leftarrow w - \tfrac{\epsilon}{2} v + \sqrt{\epsilon} \, \eta, \qquad
v = n_\beta \nabla L_b(w) + \gamma (w - w_0),$$
$$\text{estimate} = \operatorname{mean} \, n_\beta \bigl(L_b(w) - L_b(w_0)\bigr), \qquad
\text{temperature} = \operatorname{mean} \, \tfrac{1}{P} (w - w_0) \cdot v.$$
`standard_error` is the chains' standard deviation over the root of their number, `drift` the mean of the draws' second
half less that of the first, over $\lvert \text{estimate} \rvert$, `reach` is $\sqrt{P / \gamma}$. `r_hat` is
$\sqrt{V / W}$ of the chains' halves of $m$ draws: $W$ the mean of their variances, $V = \tfrac{m - 1}{m} W$ plus the
variance of their means.

Source: Lau et al. 2023, arXiv:2308.12108, sections 3 and 4 (definition, SGLD estimator); Hoogland et al. 2024,
arXiv:2402.02364, section 4 and appendix (chains, what goes wrong). Each draw's loss is held against the network's own
on the same batch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from miscope.instruments._shared.nulls import NO_START
from miscope.maths.landscape import Chains, Dynamics, sgld, split_r_hat
from miscope.maths.null_distributions import multiple_of_noise
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, Null, Output, PerCheckpoint

MOST_R_HAT, MOST_DRIFT, MOST_HEAT, MOST_ERROR = 1.2, 0.25, 0.2, 0.5  # beyond which an estimate is in doubt
RAN_AWAY = "the chains ran away: set a shorter `step_size`"
SAMPLER = "these are checks of the sampler and not of the network; the line is the most that they allow"


@dataclass(frozen=True)
class LocalLearningCoefficient(Output):
    """Means over the draws that are left after burn-in."""

    estimate: float | None  # of lambda; None: the chains ran away to no number
    standard_error: float | None  # of the mean over chains
    chain: Float[np.ndarray, " chain"]  # each chain's own estimate
    doubts: tuple[str, ...]  # why not to believe it; none: the checks found nothing
    r_hat: float  # split R-hat of the chains' draws: 1 where they agree
    drift: float  # of the draws' second half above the first, as a part of the estimate
    temperature: float  # of the chains: 1 where they have settled and steps are short; colder, hotter: see the doubts
    n_inputs: int
    n_beta: float
    reach: float  # sqrt(parameters / localisation): about how far the chains may wander
    n_burn_in: int
    trace: Float32[np.ndarray, "chain draw"]  # n_beta (loss there - loss at the network), burn-in included


def local_learning_coefficient(
    checkpoint: Checkpoint,
    context: Context,
    *,
    chains: int = 4,
    draws: int = 100,
    burn_in: float = 0.5,
    step_size: float = 5e-5,
    localisation: float = 1000.0,
    n_beta: float = 0.0,
    answers: int = 128,
    seed: int = 0,
) -> LocalLearningCoefficient:
    """`n_beta` 0 means n / ln n; `answers`: how many a batch asks for; `burn_in`: the share of draws left out."""
    _check(chains, draws, burn_in, step_size, localisation, n_beta)
    network = checkpoint.network
    n = len(network.train_inputs())
    dynamics = Dynamics(step_size, n_beta or n / np.log(max(n, 3)), localisation)
    seeds = np.random.default_rng(seed).integers(0, 2**32, draws).tolist()
    batches = [network.train_inputs(answers, batch) for batch in seeds]
    run = sgld(
        lambda vectors, draw: network.gradients(vectors, batches[draw]),
        lambda vectors, draw: network.losses(vectors, batches[draw]),
        network.weights,
        dynamics,
        n_chains=chains,
        n_draws=draws,
        seed=seed,
    )
    first = min(round(burn_in * draws), draws - 4)
    return LocalLearningCoefficient(
        **_estimate(run, dynamics.n_beta, first),
        n_inputs=n,
        n_beta=dynamics.n_beta,
        reach=float(np.sqrt(network.weights.size / localisation)),
        n_burn_in=first,
        trace=(dynamics.n_beta * run.excess).astype(np.float32),
    )


def _check(chains: int, draws: int, burn_in: float, step_size: float, localisation: float, n_beta: float) -> None:
    if chains < 2 or draws < 8:
        raise MiscopeError(f"`chains` = {chains}, `draws` = {draws}; allowed: at least 2 chains of 8 draws.")
    if not 0 <= burn_in < 1:
        raise MiscopeError(f"`burn_in` = {burn_in}; allowed: from 0 to below 1.")
    if step_size <= 0 or localisation <= 0 or n_beta < 0 or step_size * localisation >= 4:
        raise MiscopeError(
            f"`step_size` = {step_size}, `localisation` = {localisation}, `n_beta` = {n_beta}; allowed: above 0 "
            "(`n_beta` from 0), and step_size x localisation below 4, from where chains run away."
        )


def _estimate(run: Chains, n_beta: float, first: int) -> dict[str, Any]:
    """Fields of LocalLearningCoefficient, of the draws from `first` on."""
    kept = n_beta * run.excess[:, first:]
    chain = kept.mean(axis=1)
    if not np.isfinite(kept).all():
        none = {"estimate": None, "standard_error": None, "r_hat": math.nan, "drift": math.nan, "temperature": math.nan}
        return {"chain": chain, **none, "doubts": ("the chains ran away: the step is too long",)}
    half, estimate = kept.shape[1] // 2, float(chain.mean())
    moved = float(kept[:, half:].mean() - kept[:, :half].mean())
    error, r_hat = float(chain.std(ddof=1) / np.sqrt(len(chain))), split_r_hat(kept)
    drift, heat = moved / abs(estimate) if estimate else 0.0, float(run.temperature[:, first:].mean())
    checks = {
        "negative: the network is at no minimum that its chains can see": estimate <= 0,
        f"drift: the second half of the draws lies {drift:+.0%} from the first": abs(drift) > MOST_DRIFT,
        f"chains disagree: R-hat is {r_hat:.2f}": r_hat > MOST_R_HAT,
        "noise: the standard error is more than half of it": error > MOST_ERROR * abs(estimate),
        f"long steps: the chains are at temperature {heat:.2f}": heat > 1 + MOST_HEAT,
        f"not settled: the chains are at temperature {heat:.2f}": heat < 1 - MOST_HEAT,
    }
    doubts = tuple(doubt for doubt, is_in_doubt in checks.items() if is_in_doubt)
    numbers = {"estimate": estimate, "standard_error": error, "r_hat": r_hat, "drift": drift, "temperature": heat}
    return {"chain": chain, **numbers, "doubts": doubts}


def measures(output: LocalLearningCoefficient) -> dict[str, float]:
    """The estimate, where nothing speaks against it."""
    return {"estimate": output.estimate if output.estimate is not None and not output.doubts else math.nan}


def nulls(coefficient: Artifact[LocalLearningCoefficient], context: Context) -> Iterator[Null]:
    """The untrained network, by more than the chains' errors."""
    yield _of_peak(coefficient).of("overview")
    yield Null.absent(SAMPLER).of("diagnostics")
    for step in coefficient:
        yield _against_untrained("mean of the chains", coefficient, step).of("chains", step)


def _of_peak(coefficient: Artifact[LocalLearningCoefficient]) -> Null:
    """Whether the network has ever taken up more than it had untrained, by estimates that are not in doubt."""
    believed = {step: o.estimate for step, o in coefficient.items() if step and o.estimate is not None and not o.doubts}
    if not believed:
        return Null.absent("no estimate of a step after 0 passes its checks")
    peak = max(believed, key=believed.__getitem__)
    return _against_untrained(f"coefficient, at its maximum without doubt (step {peak:,}),", coefficient, peak)


def _against_untrained(statistic: str, coefficient: Artifact[LocalLearningCoefficient], step: int) -> Null:
    """Whether the estimate of one step is above the untrained network's by more than both errors.

    An estimate in doubt is not judged; the untrained network's own, which is at no minimum and mostly in doubt, counts.
    """
    start, output = coefficient[coefficient.steps[0]], coefficient[step]
    if coefficient.steps[0] != 0:
        return Null.absent(NO_START)
    if start.estimate is None or start.standard_error is None:
        return Null.absent(f"at step 0 {RAN_AWAY}")
    if output.estimate is None or output.standard_error is None or output.doubts:
        return Null.absent(f"the estimate of step {step:,} fails its checks")
    error = multiple_of_noise(len(output.chain) - 1) * math.hypot(start.standard_error, output.standard_error)
    source = "the untrained network, at the 99 % end of the chains' errors"
    return Null(statistic, output.estimate, start.estimate + error, source)


instrument = PerCheckpoint(
    local_learning_coefficient, needs=("gradients",), checkpoints=6, measures=measures, nulls=nulls
)
