"""`dvc repro` never calls stale things up to date: a stage depends on all code that the keys of its outs count."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from miscope import scaling
from miscope.catalog import Catalog
from miscope.keys import SOURCE, closure
from miscope.training import checkpoints
from miscope.workspace import drawing, status

REPOSITORY = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]

Roots = Iterator[tuple[Path, ...]]


def training() -> Roots:
    yield tuple(checkpoints.HERE / name for name in ("trainer.py", "ensemble.py", "graphs.py"))
    yield tuple((SOURCE / "families").glob("*.py"))


def measuring() -> Roots:
    yield from (status.code_of(plugin.instrument, plugin.source()) for plugin in Catalog().plugins.values())


def drawings() -> Roots:
    yield from ((plugin.source("views"), drawing.DRAWS) for plugin in Catalog().plugins.values() if plugin.has("views"))
    yield from ((path, drawing.DRAWS) for path in (SOURCE / "families").glob("*_views.py"))


def points() -> Roots:
    folder = Path(scaling.__file__).parent
    yield folder / "point.py", *folder.glob("models/*.py"), *folder.glob("datasets/*.py"), *folder.glob("losses/*.py")


def fits() -> Roots:
    yield (Path(scaling.__file__).parent / "laws.py",)


@pytest.mark.parametrize(
    ("stage", "roots"),
    [("train", training), ("analyze", measuring), ("render", drawings), ("run", points), ("fit", fits)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_stage_depends_on_all_code_that_decides_its_outs(stage: str, roots: Callable[[], Roots]) -> None:
    watched = [REPOSITORY / path for path in STAGES[stage]["do"]["deps"] if path.startswith("src/")]
    code = {path for files in roots() for path in closure(*files) if path.is_relative_to(SOURCE)}
    assert code
    assert {path for path in code if not any(path.is_relative_to(folder) for folder in watched)} == set()
