"""Draws the views of one instrument on one variant, as Plotly JSON, unless they are fresh.

They share a key: its Outputs and nulls, the phases behind every step axis, the probe, the variant's label and the
drawing code.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
TASK = "task"  # stands for the views that a task's family brings


def bring_up_to_date(variant: LoadedVariant, name: str, progress: Progress = lambda views: views) -> Summary:
    """Draw the views of an instrument, or those of the task's family (`name` is `task`), unless they are fresh.

    Raises:
        MiscopeError: a view cannot be drawn, or the views cannot be loaded.
    """
    folder, key = variant.folder, _key(variant, name)
    if kept := _fresh(folder, name, key):
        return Summary(kept=len(kept["views"]))
    catalog = variant.workspace.catalog
    views = catalog.views_of_task(variant.variant.family) if name == TASK else catalog.plugin(name).views
    paths = {view: folder.views / name / f"{view.partition('.')[2]}.json" for view in views}
    folder.drawn_from(name).unlink(missing_ok=True)  # so that a kill leaves no key beside half of the drawings
    for view in progress(paths):
        try:
            write(paths[view], variant.view(view).json())
        except Exception as error:  # a view may raise anything
            why = error if isinstance(error, MiscopeError) else reason(error)
            raise MiscopeError(f"The view `{view}` of `{variant.name}` cannot be drawn: {why}") from None
    n_removed = sweep(folder.views / name, keep=set(paths.values()))
    digests = {path.name: digest_of_file(path) for path in paths.values()}
    write(folder.drawn_from(name), canonical_json({"key": asdict(key), "views": digests}))
    return Summary(len(paths), 0, n_removed)


def _fresh(folder: Folder, name: str, key: Key) -> Mapping[str, Any] | None:
    """What the drawings were made from, if that is this key and each is as it was drawn."""
    try:
        kept: Mapping[str, Any] = json.loads(folder.drawn_from(name).read_text(encoding="utf-8"))
        whole = all(digest_of_file(folder.views / name / file) == value for file, value in kept["views"].items())
        return kept if whole and Key(**kept["key"]) == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _key(variant: LoadedVariant, name: str) -> Key:
    folder, catalog = variant.folder, variant.workspace.catalog
    if name == TASK:
        views = catalog.views_of_task(variant.variant.family).values()
        drawn, sources = sorted({view.needs.name for view in views}), {Path(inspect.getfile(v.table)) for v in views}
    else:
        drawn, sources = [name], {catalog.plugin(name).source("views")}
    nulls = [folder.nulls(each) for each in drawn]
    inputs = {
        "outputs": digest(*(_outputs(folder, catalog.plugin(each)) for each in drawn)),
        "phases": status.outputs_digest(folder, "phases"),
        "probe": digest_of_file(folder.probe),
        "nulls": digest(*(digest_of_file(path) for path in nulls if path.is_file())),
        "label": digest(variant.label),
    }
    return Key(inputs, digest(*(code_digest(source) for source in sorted(sources))))


def code_digest(views: Path) -> str:
    """A digest of all code that decides how the views in a file are drawn."""
    return digest_of_code(views, DRAWS)


def _outputs(folder: Folder, plugin: Plugin) -> str:
    """A digest of the instrument's Outputs, or of their inputs where they are never stored."""
    if isinstance(plugin.instrument, PerCheckpoint) and not plugin.instrument.is_stored:
        weights = (f"{step} {store.weights_digest(folder.checkpoint(step))}" for step in folder.checkpoint_steps())
        return digest(status.code_digest(plugin), *weights)
    return status.outputs_digest(folder, plugin.name)
