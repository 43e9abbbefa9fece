"""The one rule of freshness: something is fresh if it would get the same Key now.

A Key has three parts: digests of the inputs, a digest of the code, and the settings as text. Artifacts, drawings,
trainings, points of scaling studies and the calibration carry one, and nothing else decides whether they are stale.

The digest of the code is of what the code does: the syntax trees, without comments, docstrings, formatting and the
annotations of functions, of all files that the code imports. A name that a module re-exports (`from miscope.plugin
import lines`) leads to the file that defines it. The file of another instrument does not count: only its Outputs are
read, and they are inputs.
"""

import ast
import atexit
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SOURCE = Path(__file__).parent
PACKAGE = "miscope"
TYPING = ("typing", "jaxtyping", "collections.abc")  # modules whose names stand in annotations


@dataclass(frozen=True)
class Key:
    """What something was made from."""

    inputs: Mapping[str, str]  # what -> digest
    code: str
    settings: str = "{}"  # canonical JSON

    def difference(self, now: "Key") -> str:
        """What differs now, as a clause; empty if nothing does."""
        if self.settings != now.settings:
            return f"it was made with the settings {self.settings}, now {now.settings}"
        for name, before in self.inputs.items():
            after = now.inputs.get(name, "")
            if before != after:
                return f"it was made from other {name} ({before[:8]}, now {after[:8]})"
        if self.inputs.keys() != now.inputs.keys():
            return f"it was made from {', '.join(self.inputs)}, now from {', '.join(now.inputs)}"
        if self.code != now.code:
            return f"the code that makes it has changed ({self.code[:8]}, now {now.code[:8]})"
        return ""

    @property
    def digest(self) -> str:
        return digest(canonical_json(asdict(self)))


# ---------------------------------------------------------------- digests of data


def digest(*parts: bytes | str) -> str:
    """SHA-256 of the parts, each with its length, in 32 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:32]


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of names, types, shapes and values."""
    names = sorted(arrays)
    return digest(*(part for name in names for part in (name, *_described(arrays[name]))))


def _described(array: np.ndarray) -> tuple[str, str, bytes]:
    return array.dtype.str, str(array.shape), np.ascontiguousarray(array).tobytes()


def digest_of_file(path: Path) -> str:
    return _file_digest(path, stamp(path))


@lru_cache(maxsize=4096)
def _file_digest(path: Path, stamp: tuple[int, int]) -> str:
    return digest(path.read_bytes())


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def stamp(path: Path) -> tuple[int, int]:
    """When a file last changed, and its size; (0, 0) for a file that does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


# ---------------------------------------------------------------- digests of code


def digest_of_code(*roots: Path) -> str:
    """A digest of the code of these files, and of everything that they import from this package or their own."""
    files = closure(*roots)
    return _digest_of_meaning(files, tuple(map(stamp, files)))


@lru_cache(maxsize=1024)
def _digest_of_meaning(paths: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    return digest(*sorted(f"{path.stem} {meaning(path)}" for path in paths))


def meaning(path: Path) -> str:
    """A digest of one file's syntax tree, without comments, docstrings and annotations of functions."""
    return _read(path, stamp(path)).meaning


class _Source(NamedTuple):
    """What one parse of a file gives."""

    meaning: str
    imports: tuple[tuple[str, str], ...]  # (module, name) of every import that can run; no name for a whole module
    passed_on: Mapping[str, tuple[str, str]]  # name -> (module, name), for what it imports from this package


@lru_cache(maxsize=4096)
def _read(path: Path, stamp: tuple[int, int]) -> _Source:
    if (kept := _parsed().get(str(path))) and kept[0] == list(stamp):
        return _Source(kept[1], tuple(map(tuple, kept[2])), {name: tuple(where) for name, where in kept[3].items()})
    text = path.read_bytes()
    try:
        tree = ast.parse(text) if path.suffix == ".py" else None
    except (SyntaxError, ValueError):
        tree = None
    if tree is None:
        return _Source(digest(text), (), {})
    passed_on = _passed_on(tree)
    stripped = _Stripped().visit(tree)
    source = _Source(digest("\n".join(_dumped(stripped))), tuple(_import_names(path, stripped)), passed_on)
    if not _parsed():
        atexit.register(_keep)
    _parsed()[str(path)] = [list(stamp), *source]
    return source


# Parsing takes a second in all, so what it gave is kept beside Python's own bytecode, until a file changes.
KEPT = SOURCE / "__pycache__" / f"keys-{sys.version_info.major}{sys.version_info.minor}.json"


@cache
def _parsed() -> dict[str, list[Any]]:
    """Path -> stamp and _Source; of another version of this file, nothing."""
    try:
        kept = json.loads(KEPT.read_bytes())
    except (OSError, ValueError):
        return {}
    files: dict[str, list[Any]] = kept["files"] if kept.get("by") == list(stamp(Path(__file__))) else {}
    if files:
        atexit.register(_keep)
    return files


def _keep() -> None:
    there = {path: entry for path, entry in _parsed().items() if Path(path).is_file()}
    text = json.dumps({"by": stamp(Path(__file__)), "files": there})
    with suppress(OSError):  # where nothing can be written, every process parses
        if not KEPT.is_file() or KEPT.read_text() != text:
            KEPT.parent.mkdir(exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=KEPT.parent)
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(KEPT)


class _Stripped(ast.NodeTransformer):
    """Removes what does not run. Annotations in a class stay, for they are the fields of a dataclass."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.visit_Module(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.visit_Module(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        kept = [child for child in node.body if not _is_docstring(child)]
        node.body = [child if isinstance(child, ast.AnnAssign) else self.visit(child) for child in kept]
        return node

    def visit_Module(self, node: Any) -> ast.AST:
        node.body = [child for child in node.body if not _is_docstring(child)]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Assign([node.target], node.value) if node.value is not None else ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module in TYPING else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if _is_for_types(node) else self.generic_visit(node)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _dumped(node: Any) -> Iterator[str]:
    """The tree as lines that are the same in every version of Python: empty fields are left out."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in ("ctx", "type_comment", "kind"):
                yield f".{name}"
                yield from _dumped(value)
    elif isinstance(node, list):
        yield f"[{len(node)}"
        for child in node:
            yield from _dumped(child)
    else:
        yield repr(node)


# ---------------------------------------------------------------- which code


def closure(*roots: Path) -> tuple[Path, ...]:
    """The files and everything that they import from this package or their own, directly or indirectly."""
    reached: set[Path] = set()
    queue = list(roots)
    while queue:
        path = queue.pop()
        if path not in reached:
            reached.add(path)
            queue += [file for file in _imported(path, stamp(path)) if not _is_foreign_measure(file, roots)]
    return tuple(sorted(reached))


def _is_foreign_measure(path: Path, roots: tuple[Path, ...]) -> bool:
    """Whether this is the measure.py of another instrument, whose Outputs are inputs already."""
    return path.name == "measure.py" and path.parent not in {root.parent for root in roots}


@lru_cache(maxsize=4096)
def _imported(path: Path, stamp: tuple[int, int]) -> tuple[Path, ...]:
    """The files that define what a file imports from this package, or from the package that it is in."""
    packages = {PACKAGE, _package(path)}
    names = (name for name in _read(path, stamp).imports if name[0].partition(".")[0] in packages)
    return tuple({file for module, attribute in names for file in _definitions(module, attribute)})


def _package(path: Path) -> str:
    """The outermost package, or the module itself, that a file belongs to."""
    folder = path.parent
    if path.is_relative_to(SOURCE):
        return PACKAGE
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder.name if (folder / "__init__.py").is_file() or _is_on_path(folder.name, folder) else path.stem


def _is_on_path(name: str, folder: Path) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and str(folder) in map(str, spec.submodule_search_locations or ())


def _import_names(path: Path, tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) for every import that can run, at any depth; the name is empty for a whole module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = _absolute(path, node) if node.level else node.module or ""
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module of a relative import."""
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    parts = [folder.name]
    while (folder.parent / "__init__.py").is_file() or _is_on_path(folder.parent.name, folder.parent):
        folder = folder.parent
        parts.insert(0, folder.name)
    return ".".join([*parts, *([node.module] if node.module else [])])


def _definitions(module: str, attribute: str) -> set[Path]:
    """The files that define a name, followed through modules that re-export it."""
    inside = _file_of(f"{module}.{attribute}") if attribute else None
    if inside is not None:
        return {inside}
    path = _file_of(module)
    if path is None:
        return set()
    passed = _read(path, stamp(path)).passed_on.get(attribute)
    return _definitions(*passed) or {path} if passed else {path}


def _passed_on(tree: ast.Module) -> Mapping[str, tuple[str, str]]:
    """Name -> (module, name), for everything that a module imports from this package at its top level."""
    inner = [node for child in tree.body if isinstance(child, ast.If) and _is_for_types(child) for node in child.body]
    imports = (node for node in (*tree.body, *inner) if isinstance(node, ast.ImportFrom))
    ours = [node for node in imports if not node.level and (node.module or "").startswith(PACKAGE)]
    return {alias.asname or alias.name: (node.module or "", alias.name) for node in ours for alias in node.names}


@cache
def _file_of(module: str) -> Path | None:
    """The file of a module; None for a folder without code, and for a name that is no module."""
    parts = module.split(".")
    if parts[0] == PACKAGE:
        bases = [SOURCE.joinpath(*parts[1:])]
    else:
        try:
            spec = importlib.util.find_spec(parts[0])
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if len(parts) == 1 and spec.origin and Path(spec.origin).suffix == ".py":
            return Path(spec.origin) if Path(spec.origin).stat().st_size else None
        bases = [Path(folder).joinpath(*parts[1:]) for folder in spec.submodule_search_locations or ()]
    for base in bases:
        for path in (base.with_suffix(".py") if base.name else base, base / "__init__.py"):
            if path.is_file() and path.stat().st_size:
                return path
    return None
