"""Every instrument on every model whose answer is known: the table, how it is written, and whether it is still true.

An instrument that no case names is in the table too, and said to be without a known answer.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from miscope.catalog import Catalog
from miscope.core import MiscopeError
from miscope.instrument import Case
from miscope.keys import digest_of_code
from miscope.workspace import Workspace
from miscope.workspace.files import pretty_json, write
from miscope.workspace.status import code_of

COMMAND = "make calibrate"

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
    """All rows, and for each instrument the digest of the code that they were measured with."""

    rows: tuple[Row, ...]
    code: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Known answers: `passed`, which an instrument found, and `total`."""
        known = [row.verdict for row in self.rows if row.verdict != "no known answer"]
        return {"passed": known.count("right"), "total": len(known)}

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
        yield json.dumps(self.counts)


def cases(catalog: Catalog) -> tuple[Case, ...]:
    """All of them, instrument by instrument."""
    return tuple(case for name in catalog.names for case in catalog.plugin(name).cases)


def measured(catalog: Catalog, progress: Callable[[Iterable[Case]], Iterable[Case]] = iter) -> Table:
    """Try all cases; what goes wrong in one is a row of the table."""
    rows = [row for case in progress(cases(catalog)) for row in _rows(case)]
    untried = sorted(set(catalog.names) - {row.instrument for row in rows})
    rows += [Row(name, "", "", None, None, None, "no known answer", "") for name in untried]
    return Table(tuple(sorted(rows, key=lambda row: row.instrument)), _code(catalog))


def _rows(case: Case) -> Iterator[Row]:
    try:
        for answer in case.answers():
            numbers = (float(x) for x in (answer.expected, answer.measured, answer.tolerance))
            expected, value, tolerance = (x if math.isfinite(x) else None for x in numbers)
            verdict: Verdict = "right" if answer.is_right else "wrong"
            yield Row(case.instrument, answer.quantity, case.words, expected, value, tolerance, verdict, case.source)
    except Exception as error:  # an instrument that breaks on a known model is a finding
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        yield Row(case.instrument, why, case.words, None, None, None, "failed", case.source)


def file(workspace: Workspace) -> Path:
    return workspace.artifacts / "calibration" / "known_answers.json"


def save(workspace: Workspace, table: Table) -> None:
    content = {"code": dict(table.code), **table.counts, "rows": list(map(asdict, table.rows))}
    write(file(workspace), pretty_json(content))


def load(workspace: Workspace) -> Table:
    """The table as `make calibrate` wrote it.

    Raises:
        MiscopeError: it is not there, or cannot be read.
    """
    path = file(workspace)
    if not path.is_file():
        raise MiscopeError(f"The instruments are not calibrated yet. Run `{COMMAND}`.")
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        return Table(tuple(Row(**row) for row in text["rows"]), dict(text["code"]))
    except (ValueError, KeyError, TypeError) as error:
        raise MiscopeError(f"{path} cannot be read ({error}). Run `{COMMAND}`.") from None


def stale(table: Table, catalog: Catalog) -> tuple[str, ...]:
    """Instruments whose code, or that of their known models, has changed since."""
    now = _code(catalog)
    return tuple(name for name in catalog.names if table.code.get(name) != now[name])


def _code(catalog: Catalog) -> dict[str, str]:
    digests = {}
    for plugin in map(catalog.plugin, catalog.names):
        known = [plugin.source("known")] if plugin.has("known") else []
        digests[plugin.name] = digest_of_code(*code_of(plugin.instrument, plugin.source()), *known)
    return digests
