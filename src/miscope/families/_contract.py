"""What every family must keep; what is none is refused with what it lacks, before anything is trained."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Recipe, Split

KINDS = {"model": ModelConfig, "recipe": Recipe, "split": Split, "context": Context}  # what they give
METHODS = ("model", "recipe", "positions", "split", "context", "label")


def family_lacks(cls: type) -> Iterator[str]:
    """What a class must have to be a family and has not, in words."""
    if not is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "@dataclass(frozen=True)"
    if not (isinstance(cls, type) and issubclass(cls, Family)):
        yield "the base class miscope.plugin.Family"
    for name in METHODS:
        if getattr(cls, name, None) in (None, getattr(Family, name)):
            yield f"the method `{name}`"


@lru_cache(maxsize=64)
def check_family(family: Family, code: str) -> None:
    """Draw a split and a probe, and refuse what does not fit, in one line; once per family, settings and code."""
    name = type(family).__name__
    try:
        faults = list(_faults(family))
    except MiscopeError:
        raise
    except Exception as error:  # whatever the user's methods raise
        said = " ".join(str(error).split())[:200]
        raise MiscopeError(f"{name}: {type(error).__name__} in its methods: {said}") from None
    if faults:
        raise MiscopeError(f"{name} is no family yet: {'; '.join(faults)}.")


def _faults(family: Family) -> Iterator[str]:
    model, split, context = family.model(), family.split(0), family.context(0)
    for value, (method, kind) in zip((model, family.recipe(), split, context), KINDS.items(), strict=True):
        if not isinstance(value, kind):
            yield f"`{method}` gives {type(value).__name__}, not {kind.__name__}"
            return
    for part in fields(split):
        yield from _faults_of(getattr(split, part.name), part.name, family, model)
    probe = context.probe
    if not 0 <= context.answer_position < probe.tokens.shape[1]:
        yield f"`answer_position` {context.answer_position} is none of the probe's {probe.tokens.shape[1]} positions"
    if not len(probe.tokens) == len(probe.targets) == len(probe.is_train):
        yield "the probe's tokens, targets and is_train differ in length"
    yield from _out_of_range("the probe's tokens", probe.tokens, model.d_vocab)
    yield from _out_of_range("the probe's targets", probe.targets, model.d_vocab_out)


def _faults_of(part: Examples, name: str, family: Family, model: ModelConfig) -> Iterator[str]:
    read = family.positions()
    if not len(part):
        yield f"the {name} split is empty"
        return
    if part.targets.shape != (len(part.tokens), len(read)):
        yield f"targets of the {name} split have shape {part.targets.shape}, not ({len(part.tokens)}, {len(read)})"
    if part.tokens.shape[1] > model.n_ctx or max(read) >= part.tokens.shape[1]:
        yield f"the {name} split has {part.tokens.shape[1]} positions; `n_ctx` is {model.n_ctx}, read are {read}"
    yield from _out_of_range(f"tokens of the {name} split", part.tokens, model.d_vocab)
    yield from _out_of_range(f"targets of the {name} split", part.targets, model.d_vocab_out, least=-1)


def _out_of_range(what: str, values: np.ndarray, size: int, least: int = 0) -> Iterator[str]:
    if values.dtype.kind not in "iu":
        yield f"{what} are {values.dtype}, not whole numbers"
    elif not least <= values.min() <= values.max() < size:
        yield f"{what} run from {values.min()} to {values.max()}, allowed {least} to {size - 1}"
