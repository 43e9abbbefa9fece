"""Finds plugins: an instrument is a folder, a family is a file, and the folder or file gives the plugin its name.

    instruments/<name>/measure.py   binds `instrument`; views.py holds its views, known.py binds `cases`
    families/<name>.py              binds `family`; <name>_views.py holds its views of task performance, if any

Plugins of other packages are named in params.yaml by dotted path (`instruments: {my_lab.head_entropy: {}}`,
`_target_: my_lab.tasks.S5`), or by the entry point group `miscope.instruments`. There is no list to edit. A faulty
plugin gives one line when it is loaded.
"""

import importlib
import importlib.util
import inspect
import logging
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from miscope.core import Family, MiscopeError
from miscope.instrument import BLOCK_HOOKS, GRADIENTS, Case, Instrument, Output, OverTraining, PerCheckpoint, View
from miscope.keys import PACKAGE, SOURCE

OURS = f"{PACKAGE}.instruments"
GROUP = f"{PACKAGE}.instruments"  # of entry points: name = "package.module" of an instrument


@dataclass(frozen=True)
class Plugin:
    """One instrument with its views and known answers; each part is loaded on access."""

    name: str
    module: str  # a package with the modules measure, views and known; or one module that is all three

    @cached_property
    def instrument(self) -> Instrument:
        """
        Raises:
            MiscopeError: the plugin is faulty; one line that says how.
        """
        module = self._part("measure")
        instrument = getattr(module, "instrument", None)
        if not isinstance(instrument, (PerCheckpoint, OverTraining)):
            raise MiscopeError(f"{_file(module)} binds no `instrument = PerCheckpoint(...)` or `OverTraining(...)`.")
        if faults := list(_faults(instrument)):
            raise MiscopeError(f"{_file(module)}: {'; '.join(faults)}.")
        return instrument

    @cached_property
    def views(self) -> Mapping[str, View]:
        """Name -> view, the overview first.

        Raises:
            MiscopeError: there are views, but the instrument declares no nulls.
        """
        if not self.has("views"):
            return {}
        module = self._part("views")
        own = [replace(view, instrument=self.instrument) for view in _views(module)]
        if own and self.instrument.nulls is None and getattr(self.instrument, "is_stored", True):
            raise MiscopeError(
                f"{_file(module)} has views, but `instrument` has no `nulls=`. Declare what chance would show in each "
                "view, if only as `Null.absent(reason).of(view)`."
            )
        return {view.name: view for view in sorted(own, key=lambda v: (v.leaf != "overview", v.leaf))}

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases with known answers."""
        answers = getattr(self._part("known"), "cases", ()) if self.has("known") else ()
        return tuple(Case(self.name, each) for each in answers)

    @property
    def is_outside(self) -> bool:
        """Whether it lies in another package."""
        return not self.module.startswith(f"{OURS}.")

    def has(self, part: str) -> bool:
        return _spec(self._path(part)) is not None

    @property
    def has_views(self) -> bool:
        """Whether it has views, sound or not; those of a package are not loaded for it."""
        return self.has("views") and (self._path("views") != self.module or any(_views(self._part("views"))))

    def source(self, part: str = "measure") -> Path:
        """The file of a part."""
        spec = _spec(self._path(part))
        assert spec is not None and spec.origin is not None, self._path(part)
        return Path(spec.origin)

    def _path(self, part: str) -> str:
        spec = _spec(self.module)
        is_package = spec is not None and spec.submodule_search_locations is not None
        return f"{self.module}.{part}" if is_package else self.module

    def _part(self, part: str) -> ModuleType:
        return imported(self._path(part), f"The instrument `{self.name}`")


class Catalog:
    """The instruments of this package, of installed packages, and those that a workspace names by dotted path."""

    def __init__(self, outside: Iterable[str] = ()) -> None:
        ours = [Plugin(name, f"{OURS}.{name}") for name in _names("instruments")]
        installed = [Plugin(point.name, point.value) for point in entry_points(group=GROUP)]
        named = [Plugin(path.rpartition(".")[2], path) for path in outside]
        self.plugins: dict[str, Plugin] = {}
        for plugin in (*ours, *installed, *named):
            other = self.plugins.setdefault(plugin.name, plugin)
            if other.module != plugin.module:
                raise MiscopeError(
                    f"The instruments {other.module} and {plugin.module} share the name `{plugin.name}`."
                )

    @cached_property
    def faults(self) -> Mapping[str, str]:
        """Instruments that cannot be loaded, each with its fault; the others work without them."""
        faults = {}
        for name, plugin in self.plugins.items():
            try:
                _ = plugin.instrument
            except MiscopeError as wrong:
                faults[name] = str(wrong)
        return faults

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All instruments: first per checkpoint, then over training, each in alphabetical order."""
        sound = {name: plugin.instrument for name, plugin in self.plugins.items() if name not in self.faults}
        return tuple(sorted(sound, key=lambda name: (isinstance(sound[name], OverTraining), name)))

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """Instruments whose Outputs are stored; an instrument comes after those that it needs."""
        return tuple(name for name in self.names if getattr(self.instrument(name), "is_stored", True))

    def plugin(self, name: str) -> Plugin:
        return self.plugins[known("instrument", name, self.plugins)]

    def instrument(self, name: str) -> Instrument:
        return self.plugin(name).instrument

    @cached_property
    def view_faults(self) -> Mapping[str, str]:
        """Instruments whose views cannot be loaded, each with the fault; the views of the others are drawn."""
        faults = {}
        for name in self.names:
            try:
                _ = self.plugin(name).views
            except MiscopeError as wrong:
                faults[name] = str(wrong)
        return faults

    def views(self, instrument: str | None = None) -> tuple[str, ...]:
        """Names of all views, or of one instrument's views; the overview first."""
        chosen = [instrument] if instrument else [name for name in sorted(self.names) if name not in self.view_faults]
        return tuple(view for name in chosen for view in self.plugin(name).views)

    def views_of_task(self, family: Family) -> Mapping[str, View]:
        """Name -> view, for the views in `<family>_views.py`, beside the family's file.

        Raises:
            MiscopeError: a view does not say which instrument it draws, or whose null it shares, or there is none such.
        """
        path, name = f"{type(family).__module__}_views", type(family).__module__.rpartition(".")[2]
        if _spec(path) is None:
            return {}
        module = imported(path, f"The views of the family `{name}`")
        for view in (own := list(_views(module))):
            if not view.of:
                raise MiscopeError(f'{_file(module)}: the view `{view.leaf}` must say what it draws: `of="losses"`.')
            if view.null not in (leaves := [each.leaf for each in self.plugin(view.of).views.values()]):
                raise MiscopeError(
                    f"{_file(module)}: the view `{view.leaf}` must name the view of `{view.of}` whose null it shares: "
                    f"`null=`, one of {', '.join(leaves)}."
                )
        return {f"{name}.{v.leaf}": replace(v, instrument=self.instrument(v.of), family=name) for v in own}

    def view(self, name: str, family: Family | None = None) -> View:
        """The view `instrument.view`, or a family's own `family.view`; an instrument's name means its `overview`."""
        full = name if "." in name else f"{name}.overview"
        plugin = self.plugins.get(full.partition(".")[0])
        if plugin is not None and full in plugin.views:
            return plugin.views[full]
        own = self.views_of_task(family) if family else {}
        return own[full] if full in own else self.view(known("view", full, (*self.views(), *own)))


@cache
def builtin() -> Catalog:
    """The catalog of a workspace that names no instrument of its own."""
    return Catalog()


# ---------------------------------------------------------------- families


def families() -> tuple[str, ...]:
    """Tasks of this package; params.yaml names others by `_target_`."""
    return tuple(name for name in _names("families") if not name.endswith("_views"))


def family(name: str) -> type[Family]:
    path = f"{PACKAGE}.families.{known('family', name, families())}"
    cls: type[Family] | None = getattr(imported(path, f"The family `{name}`"), "family", None)
    if cls is None:
        raise MiscopeError(f"families/{name}.py binds no `family`.")
    return cls


# ---------------------------------------------------------------- loading


def located(path: Any, where: str, root: Path | None = None) -> Any:
    """The object at a dotted path, in an installed module or in one beside params.yaml in `root`.

    Raises:
        MiscopeError: there is none, or its module raises an error.
    """
    if not isinstance(path, str):
        raise MiscopeError(f"{where} = {path!r} must be a dotted path, such as my_lab.tasks.S5.")
    from hydra.utils import get_object

    look_in(root or Path())
    logging.getLogger("hydra").setLevel(logging.CRITICAL)  # hydra logs the error that is raised here
    try:
        return get_object(path)
    except Exception as error:  # a module of the user may raise anything
        raise MiscopeError(f"{where} = {path!r} cannot be loaded: {reason(error)}") from None


def imported(path: str, what: str) -> ModuleType:
    """A module by its dotted path.

    Raises:
        MiscopeError: there is none, or it raises an error; one line that begins with `what`.
    """
    try:
        return importlib.import_module(path)
    except MiscopeError:
        raise
    except Exception as error:  # a module of the user may raise anything
        raise MiscopeError(f"{what} cannot be loaded from {path}: {reason(error)}") from None


def look_in(root: Path) -> None:
    """Make the modules beside params.yaml importable."""
    if str(root.resolve()) not in sys.path:
        sys.path.append(str(root.resolve()))
        importlib.invalidate_caches()


def reason(error: BaseException) -> str:
    """The root cause of an exception, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, MiscopeError) else f"{type(error).__name__}: {text}"


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """
    Raises:
        MiscopeError: the name is not among the names; the error names the nearest, or all.
    """
    names = tuple(names)
    if name in names:
        return name
    close = get_close_matches(name, names, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Known: {', '.join(names)}."
    raise MiscopeError(f"There is no {kind} `{name}`. {hint}")


@cache
def _names(folder: str) -> tuple[str, ...]:
    """Plugins of a folder: files, and folders with a measure.py."""
    modules = (module.name for module in pkgutil.iter_modules([str(SOURCE / folder)]))
    folders = (path.parent.name for path in (SOURCE / folder).glob("*/measure.py"))
    return tuple(sorted(name for name in {*modules, *folders} if not name.startswith("_")))


def _spec(path: str) -> Any:
    try:
        return importlib.util.find_spec(path)
    except (ImportError, ValueError):
        return None


def _views(module: ModuleType) -> Iterator[View]:
    """The views that a module defines, without those that it imports."""
    views = (view for view in vars(module).values() if isinstance(view, View))
    return (view for view in views if view.table.__module__ == module.__name__)


def _file(module: ModuleType) -> str:
    path = Path(module.__file__ or module.__name__)
    return str(path.relative_to(SOURCE) if path.is_relative_to(SOURCE) else path.name)


def _faults(instrument: Instrument) -> Iterator[str]:
    """The faults that prevent an instrument from running, as sentences."""
    name = instrument.compute.__name__
    try:
        output = instrument.output_type
    except KeyError:
        output = None
    except Exception as error:  # an annotation may raise anything
        yield f"an annotation of `{name}` cannot be read ({reason(error)})"
        return
    if not (isinstance(output, type) and issubclass(output, Output)):
        yield f"`{name}` must say which Output it returns: `def {name}(...) -> MyOutput`"
    elif "__dataclass_params__" not in vars(output) or not vars(output)["__dataclass_params__"].frozen:
        yield f"`{output.__name__}` lacks @dataclass(frozen=True)"
    positional = [p for p in inspect.signature(instrument.compute).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    n = 2
    if isinstance(instrument, OverTraining):
        n = instrument.sees_checkpoints + instrument.reads_curve + len(instrument.needs) + 1
    if len(positional) != n:
        yield f"`{name}` takes {len(positional)} arguments before its settings; it is given {n}, the context last"
    for setting, default in instrument.settings.items():
        if default is inspect.Parameter.empty:
            yield f"the setting `{setting}` of `{name}` has no default"
    for need in instrument.hooks if isinstance(instrument, OverTraining) else instrument.needs:
        if need not in (*BLOCK_HOOKS, "logits", GRADIENTS):
            close = get_close_matches(need, BLOCK_HOOKS, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: logits, gradients, {', '.join(BLOCK_HOOKS)}"
            yield f"there is no activation `{need}`; {hint}"
