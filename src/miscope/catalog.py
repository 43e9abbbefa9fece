"""The plugin rule: a plugin is a file, its name is the file's name, it binds one object named for its kind.

analyzers/<name>.py            binds `analyzer`     per checkpoint
trackers/<name>.py             binds `analyzer`     over training
views/<instrument>/<name>.py   binds `view`         called `<instrument>.<name>`
families/<name>.py             binds `family`
"""

import ast
import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from miscope.core import GRADIENTS, Analyzer, Family, MiscopeError, OverTraining, View

SOURCE = Path(__file__).parent


def families() -> tuple[str, ...]:
    """Tasks of this repository; the file `outside` brings in those of others."""
    return tuple(name for name in _names("families") if name != "outside")


def analyzers() -> tuple[str, ...]:
    """Instruments that look at one checkpoint."""
    return _names("analyzers")


def trackers() -> tuple[str, ...]:
    """Instruments that look at the whole of training."""
    return _names("trackers")


def instruments() -> tuple[str, ...]:
    return analyzers() + trackers()


@cache
def stored() -> tuple[str, ...]:
    """Instruments whose Outputs lie on disk, in an order in which each finds what it needs."""
    return tuple(name for name in instruments() if getattr(instrument(name), "is_stored", True))


@cache
def views(instrument: str | None = None) -> tuple[str, ...]:
    """Names of all views, or of those that draw one instrument; the overview first."""
    folders = [_known("instrument", instrument, instruments())] if instrument else list(instruments())
    found = [f"{folder}.{name}" for folder in folders for name in _names(f"views/{folder}")]
    return tuple(sorted(found, key=lambda name: (name.split(".")[0], not name.endswith(".overview"), name)))


@cache
def family(name: str) -> type[Family]:
    return _load("families", _known("family", name, families()), "family")


@cache
def instrument(name: str) -> Analyzer:
    kind = "trackers" if name in trackers() else "analyzers"
    return _load(kind, _known("instrument", name, instruments()), "analyzer")


@cache
def view(name: str) -> View:
    """The view `instrument.view`; the instrument's name alone means its `overview`."""
    full = name if "." in name else f"{name}.overview"
    folder, _, leaf = _known("view", full, views()).partition(".")
    return _load(f"views/{folder}", leaf, "view")


@cache
def sources(name: str) -> tuple[Path, ...]:
    """The files whose text decides what an instrument computes: its own, the maths it uses, the model if it runs one.

    The basis belongs to every context, so its maths always counts. Files of upstream analyzers are left out: a tracker
    meets their Outputs, not their code.
    """
    analyzer = instrument(name)
    basis = SOURCE / "maths" / "spectra.py"
    folder = "trackers" if isinstance(analyzer, OverTraining) else "analyzers"
    runs_model = [SOURCE / "model" / "inspection.py"] if analyzer.hooks else []
    if GRADIENTS in analyzer.needs:
        runs_model.append(SOURCE / "model" / "differentiation.py")
    return closure(SOURCE / folder / f"{name}.py", basis, *runs_model, within=("maths", "model"))


def closure(*paths: Path, within: tuple[str, ...]) -> tuple[Path, ...]:
    """The files and those of the packages `within` miscope that they import, directly or through one another."""
    found: set[Path] = set()
    queue = list(paths)
    while queue:
        current = queue.pop()
        if current not in found:
            found.add(current)
            queue += [path for path in _imports(current) if path.relative_to(SOURCE).parts[0] in within]
    return tuple(sorted(found))


@cache
def _imports(path: Path) -> set[Path]:
    """The product's own files that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    parts = [module.split(".")[1:] for module in modules if module.startswith("miscope.")]
    files = (SOURCE.joinpath(*part, end) for part in parts for end in ("", "__init__.py"))
    found = (path if path.suffix else path.with_suffix(".py") for path in files)
    return {file for file in found if file.is_file() and file.stat().st_size}


@cache
def _names(folder: str) -> tuple[str, ...]:
    found = pkgutil.iter_modules([str(SOURCE / folder)])
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def _load(folder: str, name: str, attribute: str) -> Any:
    module = importlib.import_module(f"miscope.{folder.replace('/', '.')}.{name}")
    if not hasattr(module, attribute):
        raise MiscopeError(f"{folder}/{name}.py binds no `{attribute}`; a plugin's file must bind one.")
    return getattr(module, attribute)


def _known(kind: str, name: str, names: tuple[str, ...]) -> str:
    if name in names:
        return name
    close = get_close_matches(name, names, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Known: {', '.join(names)}."
    raise MiscopeError(f"There is no {kind} `{name}`. {hint}")
