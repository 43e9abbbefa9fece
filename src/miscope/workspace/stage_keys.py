"""Small files that say what decides the outs of each stage. The stage `keys` writes them, the other stages depend on
them, and so DVC calls stale what the keys (`miscope.keys`) call stale: a comment changes none of these files.

    artifacts/keys/trainings/<variant>        all that decides its weights and which checkpoints are kept
                   tasks/<variant>            all that decides its probe, and its label
                   instruments/<instrument>   code and settings
                   views/<instrument>         the code of its drawings; `task` of those that families bring
                   report, scaling/<stage>    code
"""

import inspect
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miscope.core import Family, Variant
from miscope.keys import SOURCE, digest, digest_of_code, meaning
from miscope.workspace import Workspace, drawing, status
from miscope.workspace.files import pretty_json, write

PLUGINS = ("models/*.py", "datasets/*.py", "losses/*.py", "conf/*/*.yaml")  # of scaling studies
MEASURES = ("workspace/analysis.py", "workspace/status.py", "workspace/files.py", "keys.py", "instrument.py")
DRAWS = ("workspace/drawing.py", "workspace/bound_view.py", "workspace/loaded.py", "workspace/status.py", "keys.py")


def bring_up_to_date(workspace: Workspace) -> int:
    """Write the files that differ, remove those of what is gone; returns the number of files that changed.

    Raises:
        MiscopeError: params.yaml is not valid.
    """
    folder = workspace.artifacts / "keys"
    wanted = {folder / name: pretty_json(content) for name, content in contents(workspace).items()}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    gone = [path for path in folder.rglob("*") if path.is_file() and path not in wanted]
    for path in stale:
        write(path, wanted[path])
    for path in gone:
        path.unlink()
    for path in [path for path in folder.iterdir() if path.is_dir() and not any(path.iterdir())]:
        shutil.rmtree(path)
    return len(stale) + len(gone)


def contents(workspace: Workspace) -> Mapping[str, Mapping[str, Any]]:
    """Name of the file -> what it says, for all files."""
    return dict(_contents(workspace, workspace.root / "stages"))


def _contents(workspace: Workspace, scripts: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    catalog = workspace.catalog
    for name, variant in workspace.variants.items():
        yield f"trainings/{name}", _training(variant, scripts)
        yield f"tasks/{name}", _task(variant, scripts)
    measures = _files(scripts / "analyze.py", *(SOURCE / path for path in MEASURES))
    draws = _files(scripts / "render.py", *(SOURCE / path for path in DRAWS))
    for name, fault in catalog.faults.items():  # its stages fail with it, and no other does
        yield f"instruments/{name}", {"fault": fault}
    for name in catalog.names:
        plugin = catalog.plugin(name)
        code = digest(status.code_digest(plugin), measures)
        yield f"instruments/{name}", {"code": code, "settings": workspace.settings(name)}
        if plugin.has_views:
            own = status.code_digest(plugin) if not getattr(plugin.instrument, "is_stored", True) else ""
            yield f"views/{name}", {"code": digest(drawing.code_digest(plugin.source("views")), own, draws)}
    sources = sorted({path for variant in workspace.variants.values() for path in _task_views(workspace, variant)})
    yield "views/task", {"code": digest(*map(drawing.code_digest, sources), draws)}
    yield "report", {"code": digest_of_code(scripts / "report.py")}
    plugins = [path for pattern in PLUGINS for path in sorted((SOURCE / "scaling").glob(pattern))]
    for stage in ("plan", "run", "fit", "plot"):
        used = [path for path in plugins if path.suffix == ".py"] if stage in ("plan", "run") else []
        conf = _files(*(path for path in plugins if path.suffix != ".py"))
        yield f"scaling/{stage}", {"code": digest(digest_of_code(scripts / f"{stage}.py", *used), conf)}


def _training(variant: Variant, scripts: Path) -> Mapping[str, Any]:
    starts = [SOURCE / "training" / "loop.py", *source_of(variant.family)]
    if variant.imported:
        starts += sorted((SOURCE / "imports").glob("*.py"))
    return {
        "code": digest(digest_of_code(*starts), _files(scripts / "train.py")),
        "declaration": variant.declaration(),
        "recipe": asdict(variant.recipe),
        "checkpoints": list(variant.checkpoint_steps),
        "adaptive": asdict(variant.adaptive) if variant.adaptive else None,
    }


def _task(variant: Variant, scripts: Path) -> Mapping[str, Any]:
    probes = (SOURCE / "workspace" / "store.py", SOURCE / "workspace" / "analysis.py", scripts / "probe.py")
    return {
        "code": digest(digest_of_code(*source_of(variant.family)), _files(*probes)),
        "family": variant.family_name,
        "settings": asdict(variant.family),
        "data_seed": variant.data_seed,
        "label": variant.label,
    }


def source_of(family: Family) -> tuple[Path, ...]:
    """The file of a family's class; none for a class without one."""
    path = getattr(sys.modules[type(family).__module__], "__file__", None)
    return (Path(path),) if path else ()


def _task_views(workspace: Workspace, variant: Variant) -> Iterator[Path]:
    for view in workspace.catalog.views_of_task(variant.family).values():
        yield Path(inspect.getfile(view.table))


def _files(*paths: Path) -> str:
    """A digest of what these files do, without what they import; files that are not there are left out."""
    return digest(*(f"{path.stem} {meaning(path)}" for path in paths if path.is_file()))
