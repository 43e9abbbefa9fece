"""The files between the stages of a study, plan.json, run.json of each point and results.json, as frozen dataclasses.

A number that is not finite is null in JSON, and NaN where it is read as a number again.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from miscope.core import MiscopeError
from miscope.workspace import files

Settings = Mapping[str, Any]  # of a plugin or a recipe, by name: what may stand there is the plugin's to say


@dataclass(frozen=True)
class Document:
    schema: ClassVar[int] = 1  # its version, in the file


D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Data:
    digest: str  # of the first examples
    tokens: int | None  # of the split `train`; None: they never end
    max_epochs: float


@dataclass(frozen=True)
class Running:
    """Where and how points are computed, which decides no point's result."""

    device: Literal["cpu", "cuda", "auto"]
    threads: int
    resume_points: int
    keep_checkpoints: bool


@dataclass(frozen=True)
class Config:
    """All that decides a point's result: plugins with their `_target_`, the recipe, the seed."""

    model: Settings
    dataset: Settings
    loss: Settings
    recipe: Settings
    seed: int
    budget: float
    test_tokens: int


@dataclass(frozen=True)
class Point:
    """A model to train: on how much, at what cost, and how."""

    id: str  # the digest of its config
    budget: float  # FLOPs
    target_parameters: float | None  # None where the study spells out the model's settings
    parameters: int  # without embeddings
    parameters_total: int
    tokens: int
    steps: int
    epochs: float | None  # None where the data never end
    learning_rate: float
    seed: int
    flops_6nd: float
    flops_counted: float
    config: Config


@dataclass(frozen=True)
class Plan(Document):
    """plan.json: the points to train, and notes for a reader."""

    study: str
    convention: str  # how N and D are counted, in words
    entropy: float | None  # the known floor of the loss, in nats
    data: Data
    running: Running
    points: tuple[Point, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """What a point came to; of runs from elsewhere the first five are known, and what else their file says."""

    id: str
    budget: float  # FLOPs
    parameters: float
    tokens: float
    loss: float  # held out, in nats; NaN where none was measured
    target_parameters: float | None = None
    parameters_total: int | None = None
    steps: int | None = None
    epochs: float | None = None  # None where the data never end
    learning_rate: float | None = None
    seed: int | None = None
    settings: Settings = field(default_factory=dict)
    curve: tuple[tuple[int, int, float], ...] = ()  # step, tokens, held-out loss
    flops_6nd: float | None = None
    flops_counted: float | None = None
    seconds: float | None = None
    device: str | None = None
    device_info: Settings = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    model_class: str | None = None
    dataset_class: str | None = None
    loss_class: str | None = None
    schedule: str | None = None
    config_hash: str = ""
    weights: str = ""  # their digest


@dataclass(frozen=True)
class Records(Document):
    """results.json: the record of every point of a plan, in the plan's order."""

    points: tuple[Record, ...]
    study: str = ""
    convention: str = ""
    entropy: float | None = None


def path(root: Path, study: str, name: str) -> Path:
    """Where a file of a study lies."""
    return root / "artifacts" / "scaling" / study / name


def read_plan(root: Path, study: str) -> Plan:
    return read(path(root, study, "plan.json"), Plan, f"dvc repro plan@{study}")


def write(file: Path, document: Document) -> None:
    files.write(file, files.pretty_json(plain(document) | {"schema": document.schema}))


def read(file: Path, kind: type[D], command: str = "") -> D:
    """The document of a kind that was written, or that `command` writes.

    Raises:
        MiscopeError: there is none, or it is of another version; one line that names the command.
    """
    hint = f" Run `{command}`." if command else ""
    if not file.is_file():
        raise MiscopeError(f"{file} does not exist.{hint}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != kind.schema:
            raise MiscopeError(f"{file} has schema {content['schema']!r}; this version reads {kind.schema}.{hint}")
        document: D = typed(kind, content)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MiscopeError(f"{file} cannot be read ({type(error).__name__}: {error}).{hint}") from None
    return document


def plain(value: Any) -> Any:
    """The value as JSON knows it."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def typed(kind: Any, value: Any) -> Any:
    """What `plain` made, as the type that an annotation names; a ValueError where a part is missing."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        is_absent = value is None and NoneType in inner
        return None if is_absent else typed(next(k for k in inner if k is not NoneType), value)
    if origin is float:
        return math.nan if value is None else value if isinstance(value, int) else float(value)
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(typed(*pair) for pair in zip(kinds, value, strict=True))
    if origin is Mapping:
        return {key: typed(inner[1], item) for key, item in value.items()}
    if not isinstance(origin, type) or not is_dataclass(origin):
        return value
    hints, needed = _fields(origin)
    if lacks := sorted(needed - value.keys()):
        raise ValueError(f"a {kind.__name__} lacks {', '.join(lacks)}")
    return kind(**{name: typed(hint, value[name]) for name, hint in hints.items() if name in value})


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Name -> type, and the names without a default."""
    hints, own = get_type_hints(kind), fields(kind)
    needed = frozenset(f.name for f in own if f.default is MISSING and f.default_factory is MISSING)
    return {f.name: hints[f.name] for f in own}, needed
