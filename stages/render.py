"""Draw all views of one instrument of one variant, as Plotly JSON: python stages/render.py VARIANT INSTRUMENT"""

from pathlib import Path

from miscope import api, catalog, store
from miscope.command import run


def main(name: str, instrument: str) -> None:
    variant = api.load_variant(name)
    paths = {store.folder(Path(), name).view(view): variant.view(view).json() for view in catalog.views(instrument)}
    for path, figure in paths.items():
        store.write(path, figure)
    print(f"{name} {instrument}: {len(paths)} views drawn")


if __name__ == "__main__":
    run(main)
