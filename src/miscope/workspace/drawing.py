"""Draws a variant's views where they are missing or stale, as Plotly JSON.

Work is keyed by instrument: what it measured with its nulls, the phases behind every step axis, the probe, the
variant's label and the code that draws. What has the same key stays as it lies; what no view asks for is removed.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from miscope.catalog import Plugin, reason
from miscope.core import MiscopeError
from miscope.instrument import PerCheckpoint
from miscope.keys import SOURCE, Key, canonical_json, digest, digest_of_code, digest_of_file
from miscope.workspace import status, store
from miscope.workspace.analysis import Summary
from miscope.workspace.files import Folder, sweep, write
from miscope.workspace.loaded import LoadedVariant

Progress = Callable[[Iterable[str]], Iterable[str]]
DRAWS = SOURCE / "renderers" / "drawn.py"


def bring_views_up_to_date(
    variant: LoadedVariant, progress: Progress = lambda names: names
) -> tuple[Summary, dict[str, str]]:
    """Draw the views of every instrument whose key has changed; numbers in the summary are of views.

    What comes back second is instrument -> why its views could not be drawn.
    """
    catalog, folder = variant.workspace.catalog, variant.folder
    failed = {**catalog.faults, **catalog.view_faults}
    plugins = [catalog.plugins[name] for name in catalog.names if name not in failed and catalog.plugins[name].views]
    keys = {plugin.name: _key(variant, plugin) for plugin in plugins}
    stale = [plugin.name for plugin in plugins if not _is_fresh(folder, plugin, keys[plugin.name])]
    for name in progress(stale):
        try:
            _draw(variant, catalog.plugins[name], keys[name])
        except Exception as error:  # one view's mistake must not end the drawing of all
            failed[name] = str(error) if isinstance(error, MiscopeError) else reason(error)
    counts = {plugin.name: len(plugin.views) for plugin in plugins}
    n_drawn = sum(counts[name] for name in stale if name not in failed)
    n_fresh = sum(counts.values()) - sum(counts[name] for name in stale)
    return Summary(n_drawn, n_fresh, _without_instrument(folder, set(counts))), failed


def _draw(variant: LoadedVariant, plugin: Plugin, key: Key) -> None:
    folder = variant.folder
    folder.drawn_from(plugin.name).unlink(missing_ok=True)  # a kill leaves no key beside half a set
    for view in plugin.views:
        write(folder.view(view), variant.view(view).json())
    sweep(folder.views / plugin.name, keep=set(map(folder.view, plugin.views)))
    write(folder.drawn_from(plugin.name), canonical_json(asdict(key)))


def _is_fresh(folder: Folder, plugin: Plugin, key: Key) -> bool:
    path = folder.drawn_from(plugin.name)
    lie_there = all(folder.view(view).is_file() for view in plugin.views)
    try:
        return lie_there and Key(**json.loads(path.read_text(encoding="utf-8"))) == key
    except (OSError, ValueError, TypeError):
        return False


def _key(variant: LoadedVariant, plugin: Plugin) -> Key:
    folder = variant.folder
    nulls = folder.nulls(plugin.name)
    inputs = {
        "outputs": _outputs(folder, plugin),
        "phases": status.outputs_digest(folder, "phases"),
        "probe": digest_of_file(folder.probe),
        "nulls": digest_of_file(nulls) if nulls.is_file() else "",
        "label": digest(variant.label),
    }
    return Key(inputs, digest_of_code(plugin.source("views"), DRAWS))


def _outputs(folder: Folder, plugin: Plugin) -> str:
    """Of the values that an instrument wrote; of what it would be computed from, where it is never stored."""
    if isinstance(plugin.instrument, PerCheckpoint) and not plugin.instrument.is_stored:
        weights = (f"{step} {store.weights_digest(folder.checkpoint(step))}" for step in folder.checkpoint_steps())
        return digest(status.code_digest(plugin), *weights)
    return status.outputs_digest(folder, plugin.name)


def _without_instrument(folder: Folder, drawn: set[str]) -> int:
    """Remove the drawings of instruments that are gone; what comes back is their number."""
    there: list[Path] = [path for path in folder.views.iterdir() if path.is_dir()] if folder.views.is_dir() else []
    gone = [path for path in there if path.name not in drawn]
    for path in gone:
        shutil.rmtree(path)
    return len(gone)
