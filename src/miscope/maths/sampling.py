"""Stochastic-gradient Langevin dynamics: chains that wander near a point as the tempered posterior there would.

Source: Welling and Teh 2011, Bayesian Learning via Stochastic Gradient Langevin Dynamics (ICML), equation 4; the
localised, tempered form is Lau et al. 2023, arXiv:2308.12108, section 4.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Vectors = Float[np.ndarray, "chain parameter"]
Oracle = Callable[[Vectors, int], tuple[Float[np.ndarray, " chain"], Vectors]]  # (where, batch) -> losses, gradients
Losses = Callable[[Vectors, int], Float[np.ndarray, " chain"]]


class Chains(NamedTuple):
    """What chains met on their way, the start left out."""

    excess: Float[np.ndarray, "chain draw"]  # loss there less loss at the start, both on the draw's own batch
    temperature: Float[np.ndarray, "chain draw"]  # 1 on average where chains have settled and steps are short


class Dynamics(NamedTuple):
    """The posterior exp(-n_beta loss - localisation |w - start|^2 / 2), and the size of a step towards it."""

    step_size: float  # the variance of the noise that a step adds to each parameter
    n_beta: float
    localisation: float


def sgld(
    oracle: Oracle, losses: Losses, start: Float[np.ndarray, " parameter"], dynamics: Dynamics, *,
    n_chains: int, n_draws: int, seed: int = 0,
) -> Chains:  # fmt: skip
    """Chains from `start`: w <- w - (step_size / 2) slope + noise of variance step_size, in the precision of `start`.

    A draw's loss is held against that of the start on the same batch: on another, its noise would drown the excess.
    The temperature is the mean over parameters of (w - start) x slope, by equipartition 1 under the posterior: below,
    chains are still on their way out; above, steps are too long or batches too noisy (1 / (1 - step_size h / 4) of a
    quadratic of bend h). A Metropolis test would judge a large model for directions that no estimate depends on.

    Source: for the temperature, Tolman 1918, A general theory of energy partition (Physical Review 11(4)).
    """
    rng, kind = np.random.default_rng(seed), start.dtype.type
    away = np.zeros((n_chains, start.size), dtype=start.dtype)
    excess, temperature = np.empty((n_chains, n_draws)), np.empty((n_chains, n_draws))
    for draw in range(-1, n_draws):  # the first is the start itself, where nothing is drawn
        loss, gradient = oracle(start + away, max(draw, 0))
        slope = np.multiply(gradient, kind(dynamics.n_beta))
        slope += kind(dynamics.localisation) * away
        if draw >= 0:
            excess[:, draw] = loss - losses(start[None], draw)
            temperature[:, draw] = np.einsum("cp,cp->c", away, slope, dtype=np.float64) / start.size
        move = rng.standard_normal(away.shape, dtype=kind)
        move *= kind(np.sqrt(dynamics.step_size))
        slope *= kind(dynamics.step_size / 2)
        move -= slope
        away += move
    return Chains(excess, temperature)


def split_r_hat(draws: Float[np.ndarray, "chain draw"]) -> float:
    """How much farther apart the halves of all chains are than each of them is wide: 1 where they agree, NaN if still.

    Source: Gelman et al. 2013, Bayesian Data Analysis, 3rd edition, section 11.4 (split R-hat).
    """
    half = draws.shape[1] // 2
    if half < 2:
        return float("nan")
    halves = np.concatenate([draws[:, :half], draws[:, -half:]])
    within = halves.var(axis=1, ddof=1).mean()
    between = half * halves.mean(axis=1).var(ddof=1)
    return float(np.sqrt(((half - 1) / half * within + between / half) / within)) if within > 0 else float("nan")
