"""The calibration: every known answer is found, what is wrong is told apart, and no instrument is left out unsaid."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workspace

from miscope import catalog
from miscope.calibration import models, table
from miscope.instrument import Answer, Case
from miscope.calibration.table import Table
from miscope.core import Checkpoint, MiscopeError

CASES = table.cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.instrument}: {case.answers.__name__}")
def test_the_instrument_finds_what_is_known(case: Case) -> None:
    found = list(case.answers())
    assert found
    wrong = [f"{a.quantity}: expected {a.expected}, measured {a.measured}" for a in found if not a.is_right]
    assert not wrong


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.instrument}: {case.answers.__name__}")
def test_a_case_says_in_words_what_is_known_and_from_where(case: Case) -> None:
    assert case.instrument in catalog.instruments()
    assert case.words.endswith((".", "?"))
    assert case.source


def test_an_instrument_without_a_known_answer_is_listed_as_such() -> None:
    found = table.measured([case for case in CASES if case.instrument != "losses"][:1])
    assert "losses" in found.unknown
    assert {row.instrument for row in found.rows} == set(catalog.instruments())


def test_every_instrument_has_a_known_answer() -> None:
    assert set(catalog.instruments()) == {case.instrument for case in CASES}


def unequal() -> Iterator[Answer]:
    """A number that is off.

    Source: by hand.
    """
    yield Answer("right", 1, 1 + 1e-7)
    yield Answer("wrong", 1, 1.1)
    yield Answer("not a number", 1, float("nan"))


def broken() -> Iterator[Answer]:
    """An instrument that breaks.

    Source: by hand.
    """
    yield Answer("right", 0, 0)
    raise ValueError("shapes\n differ")


def tried() -> Table:
    return table.measured((Case("losses", unequal), Case("phases", broken)))


def test_what_is_off_not_a_number_or_breaks_is_not_right() -> None:
    found = tried()
    verdicts = [(row.instrument, row.quantity, row.verdict) for row in found.rows if row.verdict != "no known answer"]
    assert verdicts == [
        ("losses", "right", "right"), ("losses", "wrong", "wrong"), ("losses", "not a number", "wrong"),
        ("phases", "right", "right"), ("phases", "ValueError: shapes differ", "failed"),
    ]  # fmt: skip
    assert (found.passed, found.total) == (2, 5)
    *lines, last = found.lines()
    assert len(lines) == 4  # three that are not right, and the instruments without an answer
    assert lines[0] == "wrong: losses, wrong: expected 1.0, measured 1.1, tolerance 1e-06 (A number that is off.)"
    assert json.loads(last) == {"passed": 2, "total": 5}


def test_a_stored_table_is_read_as_it_was_written_to_the_byte(tmp_path: Path) -> None:
    found = tried()
    table.save(tmp_path, found)
    before = table.file(tmp_path).read_bytes()
    assert table.load(tmp_path) == found
    assert not table.is_stale(found)
    table.save(tmp_path, table.load(tmp_path))
    assert table.file(tmp_path).read_bytes() == before


def test_a_table_that_is_not_there_or_is_damaged_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"not calibrated yet\. Run `make calibrate`"):
        table.load(tmp_path)
    table.file(tmp_path).parent.mkdir(parents=True)
    table.file(tmp_path).write_text("{}")
    with pytest.raises(MiscopeError, match=r"cannot be read .* Run `make calibrate`"):
        table.load(tmp_path)


def test_a_change_of_an_instrument_makes_the_table_stale() -> None:
    assert table.is_stale(Table((), "another"))


def test_the_stage_depends_on_all_that_makes_the_table_stale() -> None:
    text = (workspace.REPOSITORY / "stages" / "calibrate" / "dvc.yaml").read_text(encoding="utf-8")
    deps = set(re.findall(r"- src/miscope/(\S+)$", text, re.M))
    assert deps == set(table.PACKAGES)


def test_the_example_of_the_documentation_is_a_case_that_is_right() -> None:
    text = (workspace.REPOSITORY / "docs" / "calibration.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {
        "np": np, "Iterator": Iterator, "Answer": Answer, "Case": Case, "Checkpoint": Checkpoint, "probe": models.probe,
        "shape": models.shape, "through_the_model": models.through_the_model,
    }  # fmt: skip
    exec(text.partition("```python\n")[2].partition("```")[0], names)
    (case,) = names["cases"]
    assert (case.words, case.source) == ("An embedding of one cosine, of frequency 3.", "by construction.")
    assert [answer.is_right for answer in case.answers()] == [True]
