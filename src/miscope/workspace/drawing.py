"""Draws the views of a variant that are missing or stale, as Plotly JSON.

The drawings of one instrument share a key: its Outputs and nulls, the phases behind every step axis, the probe, the
variant's label and the drawing code. Drawings with the same key are kept; files of views that are gone are removed.
"""

import inspect
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from miscope.catalog import Plugin, reason
from miscope.core import MiscopeError
from miscope.instrument import PerCheckpoint, View
from miscope.keys import SOURCE, Key, canonical_json, digest, digest_of_code, digest_of_file
from miscope.workspace import status, store
from miscope.workspace.analysis import Summary
from miscope.workspace.files import Folder, sweep, write
from miscope.workspace.loaded import LoadedVariant

Progress = Callable[[Iterable[str]], Iterable[str]]
DRAWS = SOURCE / "renderers" / "drawn.py"


@dataclass(frozen=True)
class _Set:
    """Views with one key: all views of an instrument, or all that the task's family brings."""

    name: str
    views: Mapping[str, View]
    source: Path  # the file of their tables

    def instruments(self) -> tuple[str, ...]:
        return tuple(sorted({view.needs.name for view in self.views.values()}))


def bring_views_up_to_date(
    variant: LoadedVariant, progress: Progress = lambda names: names
) -> tuple[Summary, dict[str, str]]:
    """Draw all views of the instruments and of the task's family whose keys have changed.

    Returns the numbers of views drawn, kept and removed, and a mapping instrument -> why its views cannot be drawn.
    """
    catalog, folder = variant.workspace.catalog, variant.folder
    failed = {**catalog.faults, **catalog.view_faults}
    sets = {each.name: each for each in _sets(variant, failed)}
    keys = {name: _key(variant, each) for name, each in sets.items()}
    stale = [name for name, each in sets.items() if not _is_fresh(folder, each, keys[name])]
    for name in progress(stale):
        try:
            _draw(variant, sets[name], keys[name])
        except Exception as error:  # one view's mistake must not end the drawing of all
            failed[name] = str(error) if isinstance(error, MiscopeError) else reason(error)
    counts = {name: len(each.views) for name, each in sets.items()}
    n_drawn = sum(counts[name] for name in stale if name not in failed)
    n_fresh = sum(counts.values()) - sum(counts[name] for name in stale)
    return Summary(n_drawn, n_fresh, _without_instrument(folder, set(counts))), failed


def _sets(variant: LoadedVariant, failed: dict[str, str]) -> Iterator[_Set]:
    catalog, family = variant.workspace.catalog, variant.variant.family
    for plugin in (catalog.plugins[name] for name in catalog.names if name not in failed):
        if plugin.views:
            yield _Set(plugin.name, plugin.views, plugin.source("views"))
    try:
        if own := catalog.views_of_task(family):
            path = inspect.getfile(next(iter(own.values())).table)
            yield _Set(type(family).__module__.rpartition(".")[2], own, Path(path))
    except MiscopeError as wrong:
        failed[variant.variant.family_name] = str(wrong)


def _draw(variant: LoadedVariant, drawn: _Set, key: Key) -> None:
    folder = variant.folder
    folder.drawn_from(drawn.name).unlink(missing_ok=True)  # so that a kill leaves no key beside half of the drawings
    for view in drawn.views:
        write(folder.view(view), variant.view(view).json())
    sweep(folder.views / drawn.name, keep=set(map(folder.view, drawn.views)))
    write(folder.drawn_from(drawn.name), canonical_json(asdict(key)))


def _is_fresh(folder: Folder, drawn: _Set, key: Key) -> bool:
    path = folder.drawn_from(drawn.name)
    exist = all(folder.view(view).is_file() for view in drawn.views)
    try:
        return exist and Key(**json.loads(path.read_text(encoding="utf-8"))) == key
    except (OSError, ValueError, TypeError):
        return False


def _key(variant: LoadedVariant, drawn: _Set) -> Key:
    folder, catalog, names = variant.folder, variant.workspace.catalog, drawn.instruments()
    nulls = [folder.nulls(name) for name in names]
    inputs = {
        "outputs": digest(*(_outputs(folder, catalog.plugins[name]) for name in names)),
        "phases": status.outputs_digest(folder, "phases"),
        "probe": digest_of_file(folder.probe),
        "nulls": digest(*(digest_of_file(path) for path in nulls if path.is_file())),
        "label": digest(variant.label),
    }
    return Key(inputs, digest_of_code(drawn.source, DRAWS))


def _outputs(folder: Folder, plugin: Plugin) -> str:
    """A digest of the instrument's Outputs, or of their inputs where they are never stored."""
    if isinstance(plugin.instrument, PerCheckpoint) and not plugin.instrument.is_stored:
        weights = (f"{step} {store.weights_digest(folder.checkpoint(step))}" for step in folder.checkpoint_steps())
        return digest(status.code_digest(plugin), *weights)
    return status.outputs_digest(folder, plugin.name)


def _without_instrument(folder: Folder, drawn: set[str]) -> int:
    """Remove the drawings of instruments that no longer exist; returns their number."""
    there: list[Path] = [path for path in folder.views.iterdir() if path.is_dir()] if folder.views.is_dir() else []
    gone = [path for path in there if path.name not in drawn]
    for path in gone:
        shutil.rmtree(path)
    return len(gone)
