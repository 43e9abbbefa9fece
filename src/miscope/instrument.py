"""The parts of an instrument: Outputs, nulls, views and known answers.

An instrument is a folder `instruments/<name>/`, or a module of the user's own:

    measure.py   the maths, the Output, `compute`, the nulls; binds `instrument`
    views.py     the views: each a question, a table and a drawing
    known.py     cases whose answer is known in advance; binds `cases`

Nothing here imports torch or pandas.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, TypeVar, get_type_hints

import numpy as np

from miscope.core import MiscopeError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
GRADIENTS = "gradients"  # among the `needs` of an instrument that reads `checkpoint.network`
BLOCK_HOOKS = (
    *("hook_resid_pre", "ln1.hook_scale", "ln1.hook_normalized", "attn.hook_q", "attn.hook_k", "attn.hook_v"),
    *("attn.hook_rot_q", "attn.hook_rot_k", "attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_z"),
    *("hook_attn_out", "hook_resid_mid", "ln2.hook_scale", "ln2.hook_normalized", "mlp.hook_pre"),
    *("mlp.hook_pre_linear", "mlp.hook_post", "hook_mlp_out", "hook_resid_post"),
)  # the activations of every block that an instrument may need, by TransformerLens' names
CHECKPOINTS = "checkpoints"  # the setting of an expensive instrument: how many checkpoints it measures; 0: all


# ---------------------------------------------------------------- what is measured


@dataclass(frozen=True)
class Output:
    """The result of one call of `compute`. Fields are arrays, numbers, texts, tuples of texts, or None (absent)."""


class Artifact(Mapping[int, T]):
    """The stored Outputs of one instrument: a mapping step -> Output, in order of steps, read on access."""

    def __init__(self, steps: Iterable[int], load: Callable[[int], T]) -> None:
        self.steps, self._load = tuple(steps), load
        self._members = frozenset(self.steps)

    def __getitem__(self, step: int) -> T:
        if step not in self._members:
            raise KeyError(step)
        return self._load(step)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> T:
        """The Output of the last step."""
        return self[self.steps[-1]]

    def last_by(self, step: int) -> int:
        """The last measured step up to `step`: an instrument may measure only some of the checkpoints."""
        return max((s for s in self.steps if s <= step), default=self.steps[0])

    def stack(self, name: str) -> np.ndarray:
        """The field `name` of every Output, stacked on a first axis `step`."""
        return np.stack([np.asarray(getattr(output, name)) for output in self.values()])


# ---------------------------------------------------------------- what chance would show

Strength = Literal["weak", "matched"]
Unit = Literal["number", "share", "radians"]


@dataclass(frozen=True)
class Null:
    """A measured statistic beside the value that chance reaches: the view is beyond its null, or within it.

    `strength` is `weak` where any trained network passes (a loss against guessing, a matrix against random numbers) and
    `matched` where only the effect itself passes (shuffled labels, random walks with the path's own step lengths). A
    null that was not measured has a `reason` in place of numbers.
    """

    statistic: str  # what the number is: "largest share of one frequency"
    value: float
    threshold: float
    source: str  # of the threshold: "99 % of token orders"
    strength: Strength = "weak"
    level: float | None = 0.99  # the probability that chance stays within the threshold; None: a margin, no probability
    is_lower: bool = False  # values below the threshold are beyond the null
    unit: Unit = "number"
    about: str = ""  # which of all that the view shows it judges, by the name there
    reason: str = ""
    view: str = ""  # the name, within the instrument, of the view that it belongs to
    step: int | None = None  # for a view of one checkpoint
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # of the view, which it depends on

    @classmethod
    def absent(cls, reason: str) -> "Null":
        """The null of a view for which none can be measured; `reason` says why."""
        return cls("", math.nan, math.nan, "", reason=reason)

    def of(self, view: str, step: int | None = None, **options: Any) -> "Null":
        """The same null, assigned to a view, a step and options."""
        return replace(self, view=view, step=step, options=MappingProxyType(options))

    @property
    def is_measured(self) -> bool:
        return not self.reason and math.isfinite(self.value) and math.isfinite(self.threshold)

    @property
    def is_beyond(self) -> bool:
        """Whether the statistic is beyond what chance reaches; False for a null that was not measured."""
        is_more = self.value < self.threshold if self.is_lower else self.value > self.threshold
        return bool(self.is_measured and is_more)

    @property
    def verdict(self) -> str:
        return "Beyond its null" if self.is_beyond else "Within its null" if self.is_measured else "No null"

    @property
    def sentence(self) -> str:
        """The verdict with its numbers or its reason, as a sentence."""
        if not self.is_measured:
            return f"{self.verdict}: {self.reason or f'{self.statistic} was not measured'}."
        value, threshold = (in_words(x, self.unit) for x in (self.value, self.threshold))
        return f"{self.verdict}: {self.statistic} {value}, against {threshold} in {self.source}."

    def __str__(self) -> str:
        return self.sentence


def in_words(value: float, unit: Unit = "number") -> str:
    """The value with three digits for people: `0.04` as a number, `4 %` as a share, `2.29°` from radians."""
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "radians":
        return f"{in_words(math.degrees(value))}°"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def null_of(nulls: Sequence[Null], view: str, step: int | None, options: Mapping[str, Any]) -> Null:
    """The null measured for a view at a step with these options; a layer of -1 is the last.

    Of an instrument that measures only some checkpoints it is the null of the last measured one up to `step`.
    """
    own = [null for null in nulls if null.view == view]
    values: dict[str, list[Any]] = {}
    for null in own:
        for key, value in null.options.items():
            values.setdefault(key, []).append(value)
    asked = {key: _counted(options.get(key), values[key]) for key in values}
    fitting = [null for null in own if all(asked[key] == value for key, value in null.options.items())]
    if step is not None:
        at = max((null.step for null in fitting if null.step is not None and null.step <= step), default=None)
        fitting = [null for null in fitting if null.step == at]
    return fitting[0] if fitting else Null.absent("the instrument measures none for these options")


def _counted(value: Any, measured: Sequence[Any]) -> Any:
    """An option as nulls store it: a negative number resolved to an index, a tuple sorted."""
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        return value + 1 + max(measured)
    return tuple(sorted(value)) if isinstance(value, tuple) else value


# ---------------------------------------------------------------- instruments


@dataclass(frozen=True)
class _Instrument:
    """What both kinds share. Keyword-only arguments of `compute` are its settings, with their defaults.

    `measures(output)` gives the measures whose onsets are compared: name -> number (NaN: not measured), or over
    training name -> curve over its `steps`. The name of a loss ends in `loss`; one of many is named `x of y`. Without
    `measures`, every number of the Output is a measure, and every entry of a list with names.

    `nulls(artifact, context)` yields a Null for every view; over training its first argument is the Output.
    """

    compute: Callable[..., Output]
    measures: Callable[[Any], Mapping[str, Any]] | None = field(default=None, kw_only=True)
    nulls: Callable[[Any, Any], Iterable[Null]] | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """The folder's name, or that of a single module."""
        path = self.compute.__module__.split(".")
        return path[-2] if path[-1] == "measure" else path[-1]

    @cached_property
    def output_type(self) -> type[Output]:
        return get_type_hints(self.compute)["return"]

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Setting -> default."""
        return keyword_defaults(self.compute)


@dataclass(frozen=True)
class PerCheckpoint(_Instrument):
    """An instrument of one checkpoint: `compute(checkpoint, context, *, settings...) -> Output`.

    `needs` names activations by hook (`mlp.hook_post` of every layer, or `logits`), and `gradients` for
    `checkpoint.network`; empty means weights only, and then torch is never imported. With `is_stored=False` Outputs are
    computed on access and never written. `checkpoints` is for expensive instruments: how many of a variant's
    checkpoints they measure by default. It becomes a setting, which `compute` never sees (see `sampled_steps`).
    """

    needs: tuple[str, ...] = ()
    positions: Literal["answer", "all"] = "answer"
    is_stored: bool = True
    checkpoints: int = 0

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Setting -> default."""
        chosen = {CHECKPOINTS: self.checkpoints} if self.checkpoints else {}
        return MappingProxyType(chosen | dict(keyword_defaults(self.compute)))

    @property
    def hooks(self) -> tuple[str, ...]:
        """The activations among what it needs."""
        return tuple(need for need in self.needs if need != GRADIENTS)


@dataclass(frozen=True)
class OverTraining(_Instrument):
    """An instrument of the whole training: `compute(*artifacts, context, *, settings...) -> Output`, a single Output.

    `needs` are the instruments whose artifacts it reads, in that order. With `reads_weights` the first argument is an
    Artifact of Checkpoints (weights only). With `reads_curve` it is the training curve, its columns by name: `step`,
    `train_loss`, ..., and the task's own metrics as `train_<name>` and `test_<name>`. With `hooks`, named as in
    `PerCheckpoint.needs`, the Checkpoints carry those activations on the probe, or with `inputs="train"` on its
    training inputs. Each access to a Checkpoint runs a forward pass, and nothing is cached: take everything from one
    before the next.
    """

    needs: tuple[PerCheckpoint, ...] = ()
    reads_weights: bool = False
    reads_curve: bool = False
    hooks: tuple[str, ...] = ()
    positions: Literal["answer", "all"] = "answer"
    inputs: Literal["all", "train"] = "all"

    @property
    def sees_checkpoints(self) -> bool:
        """Whether its first argument is the Artifact of Checkpoints."""
        return self.reads_weights or bool(self.hooks)


Instrument = PerCheckpoint | OverTraining


def sampled_steps(steps: tuple[int, ...], settings: Mapping[str, Any]) -> tuple[int, ...]:
    """The steps that an instrument with these settings measures: the first, the last, and evenly spaced ones between.

    Raises:
        MiscopeError: the setting `checkpoints` is below 0 or is 1.
    """
    n = settings.get(CHECKPOINTS, 0)
    if n < 0 or n == 1:
        raise MiscopeError(f"`{CHECKPOINTS}` = {n}; allowed: at least 2 (the first and the last), or 0 for all.")
    if not 0 < n < len(steps):
        return steps
    return tuple(steps[i] for i in np.linspace(0, len(steps) - 1, n).round().astype(int))


def keyword_defaults(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The keyword-only arguments of a function with their defaults; plugins declare settings and options with them."""
    parameters = inspect.signature(function).parameters.values()
    return MappingProxyType({p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY})


# ---------------------------------------------------------------- views


@dataclass(frozen=True)
class Table:
    """The numbers that a view draws, as one tidy table, with everything else that the drawing shows."""

    data: "pd.DataFrame"
    null: Null | None = None  # None: the null that the instrument measured for this view
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # column -> axis or colour range, locked
    titles: Mapping[str, str] = field(default_factory=dict)  # column -> axis title that depends on the data
    note: str = ""  # a sentence after the subtitle
    when: str | None = None  # replaces the step in the subtitle where the table shows several
    marks: Mapping[str, float] = field(default_factory=dict)  # text -> value of a reference line
    bands: Sequence[tuple[int, int, str]] = ()  # (first, last, text): groups of rows of a heat map, named at its right
    colors: Mapping[str, str] = field(default_factory=dict)  # category -> its fixed colour


@dataclass(frozen=True)
class View:
    """A question, the table that answers it, and a drawing of that table.

    `table(artifact, context)` returns a Table or a DataFrame. With an argument `step` it shows one checkpoint; with an
    argument `null` it receives the Null that the instrument measured for it. Keyword-only arguments are options, for
    which the app makes controls. For an instrument over training the artifact is its one Output.
    """

    question: str
    reading: str  # how to read the drawing, one or two sentences
    table: Callable[..., Any]
    draw: Any  # a Renderer: (Table, Frame) -> figure
    null: str = ""  # the view whose null it shares; empty: it has its own
    of: str = ""  # for a view that a family brings: the instrument that it draws
    instrument: Instrument | None = None  # set by the catalog
    family: str = ""  # the family that brings it, set by the catalog

    @property
    def leaf(self) -> str:
        """Its name within its instrument."""
        return self.table.__name__

    @property
    def needs(self) -> Instrument:
        assert self.instrument is not None, self.leaf
        return self.instrument

    @property
    def name(self) -> str:
        """`instrument.view`, or `family.view`."""
        return f"{self.family or self.needs.name}.{self.leaf}"

    @cached_property
    def is_per_step(self) -> bool:
        return "step" in inspect.signature(self.table).parameters

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """Option -> default."""
        return keyword_defaults(self.table)

    def tabulate(
        self, artifact: Any, context: Any, nulls: Sequence[Null] = (), step: int | None = None, **options: Any
    ) -> Table:
        """The table with its null, at a step if the view shows one."""
        at = step if self.is_per_step else None
        null = null_of(nulls, self.null or self.leaf, at, {**self.options, **options})
        given: dict[str, Any] = {"step": step} if self.is_per_step else {}
        given |= {"null": null} if "null" in inspect.signature(self.table).parameters else {}
        table = self.table(artifact, context, **given, **options)
        table = table if isinstance(table, Table) else Table(table)
        return table if table.null is not None else replace(table, null=null)


def view(*, question: str, reading: str, draw: Any, null: str = "", of: str = "") -> Callable[..., View]:
    """A decorator that makes a View from a function, which gives its table and its name."""
    return lambda table: View(question, reading, table, draw, null, of)


# ---------------------------------------------------------------- known answers


@dataclass(frozen=True)
class Answer:
    """A known number beside the measured one."""

    quantity: str
    expected: SupportsFloat
    measured: SupportsFloat
    tolerance: float = 1e-6  # absolute, in the unit of the quantity

    @property
    def is_right(self) -> bool:
        return abs(float(self.measured) - float(self.expected)) <= float(self.tolerance)  # NaN is wrong


@dataclass(frozen=True)
class Case:
    """One model, or one run, with known answers; the catalog makes it from a function in known.py.

    The docstring of `answers` describes the case; after `Source:` it names the source of the answer.
    """

    instrument: str
    answers: Callable[[], Iterable[Answer]]

    @property
    def words(self) -> str:
        return self._parts()[0]

    @property
    def source(self) -> str:
        return self._parts()[1]

    def _parts(self) -> tuple[str, str]:
        words, _, source = (inspect.getdoc(self.answers) or "").partition("Source:")
        return " ".join(words.split()), " ".join(source.split())
