"""fit.json: what the methods say of a study, each number with an interval or a refusal, and what to know before belief.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (the percentile interval).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from miscope.core import MiscopeError
from miscope.maths.power_laws import NAMES, Law
from miscope.scaling import documents

Method = Literal["huber", "squared", "asymmetric"]
METHODS: dict[Method, str] = {
    "huber": "Huber's loss (delta 0.001) on the logarithm of the loss, in log-sum-exp form",
    "squared": "squared error, non-negative least squares inside a search over the exponents",
    "asymmetric": "absolute error, weighted tenfold where the law lies above the run",
}
Shape = Literal["parabola", "akima"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
Kind = Literal[
    "too few points", "too few budgets", "no interior minimum", "minimum at the grid's edge", "not identifiable"
]
Draws = Float[np.ndarray, " draw"]
Band = tuple[float, float, float]  # value, low, high; NaN where the draws have none

LEVEL = 0.95
# An interval wider than these is no answer.
WIDEST_RATIO = {"alpha": 4.0, "beta": 4.0, "parameters": 100.0, "tokens": 100.0, "tokens_per_parameter": 10_000.0}
WIDEST_EXPONENT = 0.5  # of a, whose whole range is 0 to 1
FEWEST = 0.8  # of the draws must have an answer at all
WORDS = {"parameters": "N*", "tokens": "D*", "tokens_per_parameter": "D*/N*"}


@dataclass(frozen=True)
class FitSettings:
    """How a study is fitted: what params.yaml may say under `scaling: <study>: fit:`."""

    methods: tuple[Method, ...] = ("huber", "squared")
    draws: int = 1000  # of the bootstrap
    seed: int = 0
    exclude: Mapping[str, str] = field(default_factory=dict)  # id -> why it is left out
    targets: tuple[float, ...] = ()  # FLOPs at which N* and D* are asked; empty: ten times the largest budget

    def __post_init__(self) -> None:
        if not self.methods:
            raise MiscopeError(f"`methods` = []; allowed: some of {', '.join(METHODS)}.")
        if not 20 <= self.draws <= 100_000:
            raise MiscopeError(f"`draws` = {self.draws}; allowed: 20 to 100,000.")
        if any(not target > 0 for target in self.targets):
            raise MiscopeError(f"`targets` = {list(self.targets)}; allowed: numbers of FLOPs above 0.")


@dataclass(frozen=True)
class Refusal:
    """Stands where a number would that the runs cannot carry."""

    kind: Kind  # for programs
    sentence: str  # for readers

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval (of LEVEL) and standard error."""

    value: float | None  # None where refused; then the interval, where there is one, shows why
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    refusal: Refusal | None = None

    @property
    def band(self) -> Band:
        value, low, high = (np.nan if end is None else end for end in (self.value, self.low, self.high))
        return value, low, high

    def refused(self, sentence: str, kind: Kind = "not identifiable") -> "Estimate":
        """The same interval without the number."""
        return Estimate(None, self.low, self.high, self.standard_error, Refusal(kind, sentence))

    def refused_if_wide(self, what: str, widest_ratio: float) -> "Estimate":
        """Itself, or its refusal where the ends of its interval lie too far apart for a number between them."""
        low, high = self.low, self.high
        if self.refusal or low is None or (high is not None and low > 0 and high / low <= widest_ratio):
            return self
        end = f"{high:.3g}" if high is not None else "without end"
        ends = f"its {LEVEL:.0%} interval runs from {low:.3g} to {end}"
        return self.refused(f"{what} is not identifiable: {ends}, more than a factor of {widest_ratio:,.0f}.")


def interval(value: float, draws: Draws, what: str = "It") -> Estimate:
    """The percentile interval of the draws that have an answer; refused if too few have one."""
    answered = draws[~np.isnan(draws)]
    if len(answered) < max(FEWEST * len(draws), 2) or not np.isfinite(value):
        share = 1 - len(answered) / max(len(draws), 1)
        return Estimate(None).refused(f"{what} has no answer in {share:.0%} of {len(draws)} redrawings.")
    tail = (1 - LEVEL) / 2
    low, high = (float(np.quantile(answered, q, method="inverted_cdf")) for q in (tail, 1 - tail))
    finite = answered[np.isfinite(answered)]
    error = float(finite.std(ddof=1)) if len(finite) > 1 else None
    return Estimate(float(value), low, high if np.isfinite(high) else None, error)


def exponent(value: float, draws: Draws) -> Estimate:
    """a of N* ~ C^a; refused where the interval takes up half of all that it could be."""
    a = interval(value, draws, "a")
    if a.refusal or a.low is None or a.high is None or a.high - a.low <= WIDEST_EXPONENT:
        return a
    ends = f"its {LEVEL:.0%} interval runs from {a.low:.2f} to {a.high:.2f}"
    return a.refused(f"a is not identifiable: {ends}, more than {WIDEST_EXPONENT} wide.")


def asked(name: str, flops: float, value: float, draws: Draws) -> Estimate:
    """`parameters`, `tokens` or `tokens_per_parameter` at a budget, refused where its interval says nothing."""
    what = f"{WORDS[name]} at {flops:.3g} FLOPs"
    return interval(value, draws, what).refused_if_wide(what, WIDEST_RATIO[name])


@dataclass(frozen=True)
class Target:
    budget: float
    parameters: Estimate  # N*
    tokens: Estimate  # D*
    tokens_per_parameter: Estimate


@dataclass(frozen=True)
class LawTarget(Target):
    loss: Estimate  # the least that the law expects
    predicted_loss: Estimate  # of one run, which has its own deviation on top


@dataclass(frozen=True)
class Frontier:
    budget: float
    parameters: Band  # N*, to draw
    tokens: Band  # D*


@dataclass(frozen=True)
class LawFrontier(Frontier):
    loss: Band


@dataclass(frozen=True)
class LawFit:
    """One way of fitting the law: the law, its parameters and `a` with intervals, and what follows from it."""

    described: str
    n_points: int
    n_draws: int
    law: Law
    objective: float
    rms_log_residual: float
    estimates: Mapping[str, Estimate]
    targets: tuple[LawTarget, ...]
    frontier: tuple[LawFrontier, ...]

    @property
    def answers(self) -> Mapping[str, Estimate]:
        return {name: self.estimates[name] for name in (*NAMES, "a")}


@dataclass(frozen=True)
class Minimum:
    budget: float
    n_sizes: int
    parameters: Estimate
    tokens: Estimate
    loss: float | None  # nats, at the minimum


@dataclass(frozen=True)
class IsoflopFit:
    """What one shape makes of all curves: N* = scale * C^a, or why not."""

    minima: tuple[Minimum, ...]
    a: Estimate
    targets: tuple[Target, ...] = ()
    frontier: tuple[Frontier, ...] = ()

    @property
    def answers(self) -> Mapping[str, Estimate]:
        return {"a": self.a}


@dataclass(frozen=True)
class SetAside:
    id: str  # of a run that no law is fitted to
    reason: str
    by: Literal["settings", "fit"]


@dataclass(frozen=True)
class CurveSize:
    budget: float
    n_sizes: int
    n_runs: int


@dataclass(frozen=True)
class Noise:
    sigma_nats: float | None  # standard deviation of a run's loss
    source: str


@dataclass(frozen=True)
class Ratio:
    budget: float
    ratio: float  # of an answer to the right one; NaN where there is no answer


@dataclass(frozen=True)
class Bias:
    """What IsoFLOP answers on noise-free losses of a law at the very sizes that ran, beside that law."""

    a: float | None
    a_of_law: float
    targets: tuple[Ratio, ...]
    minima: tuple[Ratio, ...]
    refusal: Refusal | None

    def __str__(self) -> str:
        if self.a is None or not self.targets:
            return f"no answer ({self.refusal.sentence if self.refusal else 'refused'})"
        last, off = f"{self.targets[-1].budget:.3g}", f"{self.targets[-1].ratio - 1:+.1%}"
        return f"a {self.a:.3f} where the law has {self.a_of_law:.3f}, N* at {last} FLOPs {off} off"


@dataclass(frozen=True)
class Outlier:
    id: str  # of a run that was fitted all the same
    loss: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Sensitivity:
    """The law of some of the runs, and what it says at a budget."""

    runs: str
    n: int
    budget: float
    refusal: Refusal | None
    law: Law | None = None
    a: float | None = None
    parameters: float | None = None


@dataclass(frozen=True)
class HeldOut:
    """How far the law of all other runs misses the loss of those of most compute."""

    n: int
    refusal: Refusal | None
    from_budget: float | None = None
    mean_absolute_relative_error: float | None = None
    mean_relative_error: float | None = None


@dataclass(frozen=True)
class Disagreement:
    """What the methods say of a, and of N* at the last target, side by side."""

    a: Mapping[str, Estimate]
    parameters: Mapping[str, float | None]
    budget: float
    sentence: str


@dataclass(frozen=True)
class Item:
    part: str
    question: str
    answer: str | None  # None where nothing was recorded


@dataclass(frozen=True)
class Provenance:
    """What the fit was made from: two fits that agree here are the same fit."""

    results: str  # digest of the file
    settings: FitSettings
    code: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Fit(documents.Document):
    """A study's fit, whole. The pictures show the law `headline`: E known, where it is."""

    study: str
    convention: str
    flops_per_parameter_token: float  # k of C = k N D
    entropy: float | None
    level: float
    n_runs: int
    n_fitted: int
    largest_budget: float
    targets: tuple[float, ...]
    set_aside: tuple[SetAside, ...]
    refusal: Refusal | None
    headline: str | None
    parametric: Mapping[str, LawFit]
    isoflop: Mapping[Shape, IsoflopFit]
    curves: tuple[CurveSize, ...]
    n_off_curves: int
    noise: Noise
    bias: Mapping[Shape, Bias]
    outliers: tuple[Outlier, ...]
    sensitivity: tuple[Sensitivity, ...]
    held_out: HeldOut | None
    disagreement: Disagreement
    provenance: Provenance
    checklist: tuple[Item, ...] = ()

    schema = 2

    @classmethod
    def of_study(cls, root: Path, study: str) -> "Fit":
        """What the stage `fit` wrote."""
        return documents.read(documents.path(root, study, "fit.json"), cls, f"dvc repro fit@{study}")

    @property
    def law(self) -> LawFit | None:
        """The headline."""
        return None if self.headline is None else self.parametric[self.headline]

    @property
    def by_method(self) -> Mapping[str, LawFit | IsoflopFit]:
        """Every method by its name; JSON keeps no order, so that of SHAPES counts."""
        return {**self.parametric, **{f"IsoFLOP, {shape}": self.isoflop[shape] for shape in SHAPES}}

    @property
    def bias_sentence(self) -> str:
        """What the IsoFLOP method would say of runs without noise, at the very sizes of this study."""
        if not self.bias:
            return "not known: no law was fitted, or no budget has enough sizes."
        biases = "; ".join(f"{shape}: {bias}" for shape, bias in self.bias.items())
        return f"on noise-free losses of the fitted law at the sizes that ran, {biases}."
