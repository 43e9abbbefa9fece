"""An instrument's stages/<instrument>/dvc.yaml, derived from its code, so that its deps are exact and never drift."""

from pathlib import Path

from miscope import catalog
from miscope.core import OverTraining, PerCheckpoint

HEAD = """\
# The stages of one instrument. Made by `python -m miscope stage {name}`, and a test holds it to the code.
vars:
  - ../../params.yaml

stages:
"""

STAGE = """\
  {stage}:
    foreach: ${{variants}}
    do:
      wdir: ../..
      cmd: python stages/{script}.py ${{key}} {name}
      deps:
{deps}
"""


def stage_file(name: str) -> str:
    """The text of the instrument's dvc.yaml: its analysis (unless it is never stored) and the drawing of its views.

    Raises:
        MiscopeError: there is no such instrument.
    """
    analyzer = catalog.instrument(name)
    is_stored = not isinstance(analyzer, PerCheckpoint) or analyzer.is_stored
    stages = [_analysis(name)] if is_stored else []
    if catalog.views(name):
        stages.append(_drawing(name))
    return HEAD.format(name=name) + "\n".join(stages)


def _analysis(name: str) -> str:
    analyzer = catalog.instrument(name)
    script = "track" if isinstance(analyzer, OverTraining) else "analyze"
    settings = f"      params:\n        - instruments.{name}\n" if analyzer.settings else ""
    outs = f"      outs:\n        - artifacts/${{key}}/{name}:\n            persist: true\n"
    return STAGE.format(stage=name, script=script, name=name, deps=_lines(_read(name) + _code(name))) + settings + outs


def _drawing(name: str) -> str:
    analyzer = catalog.instrument(name)
    is_stored = not isinstance(analyzer, PerCheckpoint) or analyzer.is_stored
    read = [f"artifacts/${{key}}/{name}"] if is_stored else [*_read(name), *_code(name)]
    drawn = sorted({*read, "artifacts/${key}/probe.safetensors", "artifacts/${key}/phases"})
    views = sorted((catalog.SOURCE / "views" / name).glob("*.py"))
    shared = set(catalog.closure(*views, within=("views", "renderers", "maths"))) - set(views)
    code = [f"src/miscope/views/{name}", *_within_repository(tuple(shared))]
    outs = f"      outs:\n        - artifacts/${{key}}/views/{name}\n"
    return STAGE.format(stage=f"{name}_views", script="render", name=name, deps=_lines(drawn + code)) + outs


def _read(name: str) -> list[str]:
    """What the instrument reads of a variant."""
    analyzer = catalog.instrument(name)
    if isinstance(analyzer, OverTraining) and not analyzer.reads_weights:
        read = sorted(needed.name for needed in analyzer.needs)
    else:
        read = ["checkpoints"]
    return [f"artifacts/${{key}}/{item}" for item in (*read, "probe.safetensors")]


def _code(name: str) -> list[str]:
    """The files whose text decides what the instrument computes."""
    return _within_repository(catalog.sources(name))


def _within_repository(files: tuple[Path, ...]) -> list[str]:
    return sorted(f"src/miscope/{path.relative_to(catalog.SOURCE).as_posix()}" for path in files)


def _lines(items: list[str]) -> str:
    return "\n".join(f"        - {item}" for item in items)


def write_all(root: Path) -> list[Path]:
    """Bring the dvc.yaml of every instrument under `root`/stages up to date; what comes back are the files written."""
    written = []
    for name in catalog.instruments():
        path, text = root / "stages" / name / "dvc.yaml", stage_file(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written
