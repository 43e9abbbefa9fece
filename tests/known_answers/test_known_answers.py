"""The calibration: nothing is left out, and what is wrong is told apart; `test_contract` tries every answer."""

import json
from pathlib import Path
from typing import Any

import pytest
import workspace

from miscope.calibration import table
from miscope.calibration.table import Table
from miscope.catalog import Catalog, builtin
from miscope.core import MiscopeError
from miscope.instrument import Case
from miscope.workspace import Workspace

LAB = '''
from dataclasses import dataclass
from miscope.plugin import Answer, Output, PerCheckpoint

@dataclass(frozen=True)
class Nothing(Output):
    x: float

def {name}(checkpoint, context) -> Nothing:
    return Nothing(0.0)

def unequal():
    """A number that is off.

    Source: by hand.
    """
    yield Answer("right", 1, 1 + 1e-7)
    yield Answer("wrong", 1, 1.1)
    yield Answer("not a number", 1, float("nan"))

def broken():
    """An instrument that breaks."""
    yield Answer("right", 0, 0)
    raise ValueError("shapes\\n differ")

instrument = PerCheckpoint({name})
cases = {cases}
'''


NAMED = {"off": "(unequal,)", "breaks": "(broken,)", "untried": "()"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with three instruments of its own, of which one has no known answer."""
    root = tmp_path_factory.mktemp("lab")
    (root / "lab_of_cases").mkdir()
    for name, cases in NAMED.items():
        (root / "lab_of_cases" / f"{name}.py").write_text(LAB.format(name=name, cases=cases))
    lines = (f"  lab_of_cases.{name}: {{}}\n" for name in NAMED)
    (root / "params.yaml").write_text(f"variants: {{}}\ninstruments:\n{''.join(lines)}")
    return Workspace(root)


@pytest.fixture
def alone(lab: Workspace) -> Catalog:
    """These instruments and no other."""
    catalog = Catalog(outside=[lab.catalog.plugins[name].module for name in NAMED])
    catalog.plugins = {name: catalog.plugins[name] for name in NAMED}
    return catalog


@pytest.mark.parametrize("case", table.cases(builtin()), ids=lambda case: f"{case.instrument}: {case.answers.__name__}")
def test_a_case_says_in_words_what_is_known_and_from_where(case: Case) -> None:
    assert case.words.endswith((".", "?"))
    assert case.source


def test_every_instrument_has_a_known_answer() -> None:
    assert {case.instrument for case in table.cases(builtin())} == set(builtin().names)


def test_what_is_off_not_a_number_breaks_or_is_not_tried_is_not_right(alone: Catalog) -> None:
    tried = table.measured(alone)
    assert [(row.instrument, row.quantity, row.verdict) for row in tried.rows] == [
        ("breaks", "right", "right"), ("breaks", "ValueError: shapes differ", "failed"),
        ("off", "right", "right"), ("off", "wrong", "wrong"), ("off", "not a number", "wrong"),
        ("untried", "", "no known answer"),
    ]  # fmt: skip
    assert (tried.counts, tried.unknown) == ({"passed": 2, "total": 5}, ("untried",))
    *lines, last = tried.lines()
    assert len(lines) == 4  # three that are not right, and the instruments without an answer
    assert lines[1] == "wrong: off, wrong: expected 1.0, measured 1.1, tolerance 1e-06 (A number that is off.)"
    assert lines[3] == "without a known answer: untried"
    assert json.loads(last) == {"passed": 2, "total": 5}


def test_a_stored_table_is_read_as_it_was_written_to_the_byte(lab: Workspace, alone: Catalog) -> None:
    tried = table.measured(alone)
    table.save(lab, tried)
    before = table.file(lab).read_bytes()
    assert table.load(lab) == tried
    table.save(lab, table.load(lab))
    assert table.file(lab).read_bytes() == before


def test_a_table_that_is_not_there_or_is_damaged_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"not calibrated yet\. Run `make calibrate`"):
        table.load(Workspace(tmp_path))
    table.file(Workspace(tmp_path)).parent.mkdir(parents=True)
    table.file(Workspace(tmp_path)).write_text("{}")
    with pytest.raises(MiscopeError, match=r"cannot be read .* Run `make calibrate`"):
        table.load(Workspace(tmp_path))


def test_a_change_of_an_instrument_or_of_its_known_models_makes_its_rows_stale(lab: Workspace, alone: Catalog) -> None:
    tried = table.measured(alone)
    assert table.stale(tried, alone) == ()
    file = lab.root / "lab_of_cases" / "off.py"
    file.write_text(file.read_text().replace("Nothing(0.0)", "Nothing(1.0)"))
    assert table.stale(tried, alone) == ("off",)
    assert table.stale(Table((), {}), alone) == ("breaks", "off", "untried")


def test_the_example_of_the_documentation_is_a_case_that_is_right() -> None:
    text = (workspace.REPOSITORY / "docs" / "calibration.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)
    (case,) = (Case("dominant_frequencies", answers) for answers in names["cases"])
    assert (case.words, case.source) == ("An embedding of one cosine, of frequency 3.", "by construction.")
    assert [answer.is_right for answer in case.answers()] == [True]
