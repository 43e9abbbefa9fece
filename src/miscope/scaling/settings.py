"""How a study is fitted: what may stand in params.yaml under `scaling: <study>: fit:`, checked before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from miscope.core import MiscopeError
from miscope.workspace import configuration

Method = Literal["huber", "squared", "asymmetric"]
METHODS: dict[Method, str] = {
    "huber": "Huber's loss (delta 0.001) on the logarithm of the loss, in log-sum-exp form",
    "squared": "squared error, non-negative least squares inside a search over the exponents",
    "asymmetric": "absolute error, ten times as dear where the law lies above the run",
}


@dataclass(frozen=True)
class Settings:
    """How a study is fitted; the fields may stand in params.yaml under `scaling: <study>: fit:`."""

    methods: tuple[str, ...] = ("huber", "squared")  # of METHODS
    draws: int = 1000  # of the bootstrap
    seed: int = 0
    exclude: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # id -> why it is left out
    targets: tuple[float, ...] = ()  # FLOPs at which N* and D* are asked; empty: ten times the largest budget

    def __post_init__(self) -> None:
        wrong = [method for method in self.methods if method not in get_args(Method)]
        if wrong or not self.methods:
            raise MiscopeError(f"`methods` = {list(self.methods)}; allowed: some of {', '.join(METHODS)}.")
        if not 20 <= self.draws <= 100_000:
            raise MiscopeError(f"`draws` = {self.draws}; allowed: 20 to 100,000.")
        if any(not target > 0 for target in self.targets):
            raise MiscopeError(f"`targets` = {list(self.targets)}; allowed: numbers of FLOPs above 0.")


def settings(root: Path, study: str) -> Settings:
    """What params.yaml says under `scaling: <study>: fit:`; defaults for the rest, and for a study it does not declare.

    Raises:
        MiscopeError: a key that is unknown, or a value that is not allowed.
    """
    return settings_of(configuration.load(root).scaling.get(study, {}).get("fit") or {}, f"scaling.{study}.fit")


def settings_of(spec: Mapping[str, Any], where: str) -> Settings:
    """The settings of an entry of params.yaml, which `where` names; raises as `settings` does."""
    configuration.only_known_keys(spec, tuple(f.name for f in fields(Settings)), where)
    return Settings(**configuration.coerced(Settings, spec, where))
