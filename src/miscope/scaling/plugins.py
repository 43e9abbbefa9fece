"""Models, datasets and losses by name or by dotted path, made by Hydra's `instantiate`.

A name is a file of `conf/model`, `conf/dataset` or `conf/loss`: a `_target_` and its settings. A study may say the name
alone, `{name: gpt, n_ctx: 128}` with settings of its own, or `{_target_: my_lab.nets.MLP, ...}`.
"""

import inspect
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML

from miscope import catalog, keys
from miscope.core import MiscopeError

CONF = Path(__file__).parent / "conf"


@dataclass(frozen=True)
class Plugin:
    """What a study names, and its settings; `make` makes it."""

    kind: str  # model, dataset, loss
    target: str  # the dotted path of a class or function
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        return f"the {self.kind} `{self.target}`"

    def config(self) -> dict[str, Any]:
        """As plain data that `from_config` reads."""
        return {"_target_": self.target, **self.settings}

    def sized(self, settings: Mapping[str, Any]) -> "Plugin":
        """The same with more settings, all of which its target takes.

        Raises:
            MiscopeError: a setting that the target has no argument for.
        """
        chosen = replace(self, settings={**self.settings, **settings})
        _check_settings(chosen)
        return chosen

    def make(self) -> Any:
        """
        Raises:
            MiscopeError: the target refuses its settings; one line with its reason.
        """
        from hydra.utils import instantiate

        try:
            return instantiate(self.config(), _convert_="all")
        except Exception as error:  # Hydra wraps what the target raises
            raise MiscopeError(f"{_capital(self)} cannot be made: {reason(error)}") from None

    @property
    def code(self) -> str:
        """The digest of the files that decide what it does."""
        return _code(self.target)


def from_config(kind: str, config: Mapping[str, Any]) -> Plugin:
    """The plugin that `Plugin.config` wrote."""
    settings = {key: value for key, value in config.items() if key != "_target_"}
    return Plugin(kind, config["_target_"], MappingProxyType(settings))


def groups(kind: str) -> tuple[str, ...]:
    """The names that a study may use for a model, a dataset or a loss."""
    return tuple(sorted(path.stem for path in (CONF / kind).glob("*.yaml")))


def plugin(kind: str, spec: Any, where: str, root: Path = Path()) -> Plugin:
    """What a study says under `model`, `dataset` or `loss`.

    Raises:
        MiscopeError: no such name, no such object, or a setting that it does not take; one line.
    """
    known = groups(kind)
    given = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(given, Mapping) or ("name" in given) == ("_target_" in given):
        raise MiscopeError(
            f"params.yaml: `{where}` = {spec!r} must be one of {', '.join(known)}, or a mapping with either `name` or "
            "`_target_`, and settings."
        )
    if "name" in given and given["name"] not in known:
        close = get_close_matches(str(given["name"]), known, n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise MiscopeError(
            f"params.yaml: `{where}`: there is no {kind} `{given['name']}`.{hint} Known: {', '.join(known)}; "
            "or write `_target_:` and the dotted path of your own."
        )
    look_in(root)
    chosen = from_config(kind, _of_group(kind, given["name"]) if "name" in given else given)
    return chosen.sized({key: value for key, value in given.items() if key not in ("name", "_target_")})


def look_in(root: Path) -> None:
    """Have modules found beside params.yaml, too."""
    if str(root.resolve()) not in sys.path:
        sys.path.append(str(root.resolve()))


def located(target: str) -> Any:
    """The object at a dotted path.

    Raises:
        MiscopeError: there is none, or its module fails.
    """
    from hydra.utils import get_object

    logging.getLogger("hydra").setLevel(logging.CRITICAL)  # it prints what is raised here
    try:
        return get_object(target)
    except Exception as error:  # whatever a module of the user's raises
        raise MiscopeError(f"`_target_` = {target!r} cannot be loaded: {reason(error)}") from None


@cache
def _code(target: str) -> str:
    path = Path(getattr(inspect.getmodule(located(target)), "__file__", None) or __file__)
    is_ours = path.is_relative_to(catalog.SOURCE)
    within = ("scaling", "model", "families", "maths")
    return keys.digest_of_meaning(catalog.closure(path, within=within) if is_ours else (path,))


def _of_group(kind: str, name: str) -> Mapping[str, Any]:
    return YAML(typ="safe", pure=True).load((CONF / kind / f"{name}.yaml").read_text(encoding="utf-8"))


def _check_settings(chosen: Plugin) -> None:
    made = located(chosen.target)
    if not callable(made):
        raise MiscopeError(f"{_capital(chosen)} is no class or function but {type(made).__name__}.")
    parameters = inspect.signature(made).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = tuple(p.name for p in parameters)
    for key in chosen.settings:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            raise MiscopeError(f"{_capital(chosen)} takes no `{key}`.{hint} Allowed: {', '.join(known) or 'nothing'}.")


def _capital(chosen: Plugin) -> str:
    return f"The{str(chosen)[3:]}"


def reason(error: BaseException) -> str:
    """What lies at the bottom of an exception, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, MiscopeError) else f"{type(error).__name__}: {text}"
