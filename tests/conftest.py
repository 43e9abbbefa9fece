"""What all tests share: one tiny pipeline, made once a session by real DVC."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from jaxtyping import install_import_hook

HOOK = install_import_hook("miscope", "shapes.check")  # shapes are checked under pytest alone, and in what comes below

import small  # noqa: E402
import workspace  # noqa: E402
from small import Small  # noqa: E402
from workspace import Workspace  # noqa: E402

import miscope  # noqa: E402
from miscope.workspace.loaded import LoadedVariant  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, so that processes that test side by side end together."""
    items.sort(key=lambda item: not item.get_closest_marker("pipeline") and not item.get_closest_marker("browser"))


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """AppTest leaves its script as `__main__`, which a process spawned by a later test would run."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose variant `tiny` is trained, analysed and drawn. Read it; to change it, take a copy.

    Processes that test side by side share it: the first one makes it, the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    made = Workspace(folder / "tiny")
    with FileLock(folder / "tiny.lock"):
        if not (done := folder / "tiny.done").exists():
            workspace.create(made.path).make()
            params = made.path / "params.yaml"
            params.write_text(params.read_text().replace("\ninstruments:", f"{workspace.UNTRAINED}\ninstruments:"))
            done.touch()
    return made


@pytest.fixture(scope="session")
def tiny(tiny_workspace: Workspace) -> Path:
    """The root of the tiny pipeline: variant `tiny` is fresh, variant `untrained` is only declared."""
    return tiny_workspace.path


@pytest.fixture(scope="session")
def variant(tiny: Path) -> LoadedVariant:
    """The variant `tiny`, loaded."""
    return miscope.load_variant("tiny", tiny)


@pytest.fixture
def own_copy(tiny_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the tiny pipeline that a test may change; only `tiny` is declared."""
    copied = tiny_workspace.copy(tmp_path / "copy")
    copied.edit("params.yaml", workspace.UNTRAINED, "")
    return copied


@pytest.fixture(scope="session")
def pair(tiny_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a workspace with `tiny` and `other`, which is the same under another name."""
    made = tiny_workspace.copy(tmp_path_factory.mktemp("pair") / "workspace")
    made.edit("params.yaml", "variants:\n", workspace.TINY.replace("tiny:", "other:"))
    shutil.copytree(made.path / "artifacts/tiny", made.path / "artifacts/other")
    return made.path


@pytest.fixture(scope="session")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Two small variants, trained and analysed. Read it; to change it, take `own`."""
    return small.create(tmp_path_factory.mktemp("analysed"))


@pytest.fixture
def own(analysed: Small, tmp_path: Path) -> Small:
    """A copy of the small variants that a test may change."""
    return analysed.copy(tmp_path / "own")
