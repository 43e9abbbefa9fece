"""Every instrument on every model whose answer is known: the table, how it is written, and whether it is still true.

An instrument that no case names is in the table too, and said to be without a known answer.
"""

import importlib
import json
import math
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from miscope import catalog, keys
from miscope.calibration.case import Answer, Case
from miscope.core import MiscopeError
from miscope.workspace import files

COMMAND = "make calibrate"
HERE = Path(__file__).parent
PACKAGES = ("calibration", "analysis.py", "analyzers", "trackers", "families", "maths", "model", "network.py")

Verdict = Literal["right", "wrong", "failed", "no known answer"]


@dataclass(frozen=True)
class Row:
    """One line of the table; numbers are None where there is none, or where it is not finite."""

    instrument: str
    quantity: str
    case: str
    expected: float | None
    measured: float | None
    tolerance: float | None  # absolute
    verdict: Verdict
    source: str


@dataclass(frozen=True)
class Table:
    """All rows, and the digest of the code that they were measured with."""

    rows: tuple[Row, ...]
    code: str

    @property
    def total(self) -> int:
        """Known answers, whether an instrument found them or not."""
        return sum(row.verdict != "no known answer" for row in self.rows)

    @property
    def passed(self) -> int:
        return sum(row.verdict == "right" for row in self.rows)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Instruments without a known answer."""
        return tuple(row.instrument for row in self.rows if row.verdict == "no known answer")

    def lines(self) -> Iterator[str]:
        """What is wrong or not known, in words; the last line is JSON with `passed` and `total`."""
        for row in self.rows:
            if row.verdict in ("wrong", "failed"):
                numbers = f"expected {row.expected}, measured {row.measured}, tolerance {row.tolerance}"
                yield f"{row.verdict}: {row.instrument}, {row.quantity}: {numbers} ({row.case})"
        if self.unknown:
            yield f"without a known answer: {', '.join(self.unknown)}"
        yield json.dumps({"passed": self.passed, "total": self.total})


def cases() -> tuple[Case, ...]:
    """All of them, in the order of their files' names."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(HERE / "cases")]))
    files = [importlib.import_module(f"miscope.calibration.cases.{name}") for name in names]
    return tuple(case for file in files for case in file.cases)


def measured(chosen: Iterable[Case], progress: Callable[[Iterable[Case]], Iterable[Case]] = iter) -> Table:
    """Try all `chosen` cases; what goes wrong in one is a row of the table."""
    rows = [row for case in progress(tuple(chosen)) for row in _rows(case)]
    tried = {row.instrument for row in rows}
    rows += [_without(name) for name in catalog.instruments() if name not in tried]
    return Table(tuple(sorted(rows, key=lambda row: row.instrument)), code_digest())


def _rows(case: Case) -> Iterator[Row]:
    try:
        for answer in case.answers():
            yield _row(case, answer)
    except Exception as error:  # an instrument that breaks on a known model is a finding
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        yield Row(case.instrument, why, case.words, None, None, None, "failed", case.source)


def _row(case: Case, answer: Answer) -> Row:
    numbers = (float(x) for x in (answer.expected, answer.measured, answer.tolerance))
    expected, found, tolerance = (x if math.isfinite(x) else None for x in numbers)
    verdict: Verdict = "right" if answer.is_right else "wrong"
    return Row(case.instrument, answer.quantity, case.words, expected, found, tolerance, verdict, case.source)


def _without(instrument: str) -> Row:
    return Row(instrument, "", "", None, None, None, "no known answer", "")


# ---------------------------------------------------------------- files


def file(root: Path) -> Path:
    return root / "artifacts" / "known_answers" / "known_answers.json"


def save(root: Path, table: Table) -> None:
    counts = {"passed": table.passed, "total": table.total}
    files.write(file(root), files.pretty_json({"code": table.code, **counts, "rows": list(map(asdict, table.rows))}))


def load(root: Path) -> Table:
    """The table as `make calibrate` wrote it.

    Raises:
        MiscopeError: it is not there, or cannot be read.
    """
    path = file(root)
    if not path.is_file():
        raise MiscopeError(f"The instruments are not calibrated yet. Run `{COMMAND}`.")
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        return Table(tuple(Row(**row) for row in text["rows"]), text["code"])
    except (ValueError, KeyError, TypeError) as error:
        raise MiscopeError(f"{path} cannot be read ({error}). Run `{COMMAND}`.") from None


def is_stale(table: Table) -> bool:
    """Whether the code of instruments or cases has changed since."""
    return table.code != code_digest()


def code_digest() -> str:
    """Of the files that instruments and known models are made of."""
    files = tuple(sorted(path for package in PACKAGES for path in _files(catalog.SOURCE / package)))
    return _digest(files, tuple(path.stat().st_mtime_ns for path in files))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))


@lru_cache(maxsize=8)
def _digest(files: tuple[Path, ...], stamps: tuple[int, ...]) -> str:
    return keys.digest_of_meaning(files)
