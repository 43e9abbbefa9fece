"""Draws a variant's views where they are missing or stale, as Plotly JSON.

Work is keyed by instrument: the values it found, the phases behind every step axis, the probe, the variant's label and
the code that draws. What has the same key stays as it lies; what no view asks for is removed.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from miscope import analysis, api, catalog, store
from miscope.core import PerCheckpoint
from miscope.store import Folder

Progress = Callable[[Iterable[str]], Iterable[str]]


def bring_views_up_to_date(root: Path, name: str, progress: Progress = lambda names: names) -> analysis.Summary:
    """Draw the views of every instrument whose key has changed; numbers in the summary are of views.

    Raises:
        MiscopeError: an artifact is missing or stale.
    """
    variant = api.load_variant(name, root)
    instruments = tuple(name for name in catalog.instruments() if catalog.views(name))
    keys = {instrument: _key(variant, instrument) for instrument in instruments}
    stale = [instrument for instrument in instruments if not _is_fresh(variant.folder, instrument, keys[instrument])]
    for instrument in progress(stale):
        variant.folder.drawn_from(instrument).unlink(missing_ok=True)  # a kill leaves no key beside half a set
        for view in catalog.views(instrument):
            store.write(variant.folder.view(view), variant.view(view).json())
        store.sweep(variant.folder.views / instrument, keep=set(map(variant.folder.view, catalog.views(instrument))))
        store.write(variant.folder.drawn_from(instrument), keys[instrument])
    n_drawn = sum(len(catalog.views(instrument)) for instrument in stale)
    return analysis.Summary(n_drawn, len(catalog.views()) - n_drawn, _without_instrument(variant.folder, instruments))


def _is_fresh(folder: Folder, instrument: str, key: str) -> bool:
    path = folder.drawn_from(instrument)
    lie_there = all(folder.view(view).is_file() for view in catalog.views(instrument))
    return lie_there and path.is_file() and path.read_text(encoding="utf-8") == key


def _key(variant: api.LoadedVariant, instrument: str) -> str:
    views = sorted((catalog.SOURCE / "views" / instrument).glob("*.py"))
    code = catalog.closure(*views, within=("views", "renderers", "maths"))
    drawn = (f"{name} {digest}" for name in (instrument, "phases") for digest in _values(variant, name))
    return store.digest(variant.label, store.probe_digest(variant.folder.probe), store.digest_of_files(code), *drawn)


def _values(variant: api.LoadedVariant, instrument: str) -> list[str]:
    """Digests of what an instrument found; of what it would be computed from, where it is never stored."""
    folder, analyzer = variant.folder, catalog.instrument(instrument)
    if isinstance(analyzer, PerCheckpoint) and not analyzer.is_stored:
        weights = [f"{step} {store.weights_digest(folder.checkpoint(step))}" for step in folder.checkpoint_steps()]
        return [store.digest_of_files(catalog.sources(instrument)), *weights]
    found = sorted(folder.instrument(instrument).glob("*.npz"))
    return [f"{path.stem} {store.values_digest(path)}" for path in found]


def _without_instrument(folder: Folder, instruments: tuple[str, ...]) -> int:
    """Remove the drawings of instruments that are gone; what comes back is their number."""
    gone = [path for path in folder.views.iterdir() if path.is_dir() and path.name not in instruments]
    for path in gone:
        shutil.rmtree(path)
    return len(gone)
