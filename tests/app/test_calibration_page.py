"""The page Calibration on tables that are written here, and on none."""

from dataclasses import replace
from pathlib import Path

import pytest
from pages import opened, texts
from streamlit.testing.v1 import AppTest

from miscope.calibration import table
from miscope.calibration.table import Row, Table
from miscope.catalog import builtin
from miscope.workspace import Workspace

RIGHT = Row("losses", "train loss", "logits by hand", 0.5, 0.5, 1e-6, "right", "by arithmetic")
ROWS = (
    RIGHT,
    replace(RIGHT, quantity="test loss", measured=0.7, verdict="wrong"),
    replace(RIGHT, instrument="phases", quantity="onset", expected=100.0, measured=100.0),
    Row("first_learned_step", "", "", None, None, None, "no known answer", ""),
)


CODE = table._code(builtin())


def shown(root: Path, code: dict[str, str] | None) -> AppTest:
    """The page on a table that was measured with this code; on none, without it."""
    (root / "params.yaml").write_text("variants: {}\n")
    if code is not None:
        table.save(Workspace(root), Table(ROWS, code))
    return opened("calibration", root)


def test_the_page_says_on_how_many_known_answers_instruments_were_right(tmp_path: Path) -> None:
    test = shown(tmp_path, CODE)
    assert "2 instruments were right on 2 of 3 known answers." in texts(test)
    assert "Without a known answer: first_learned_step." in texts(test)
    assert "make calibrate" not in texts(test)
    assert test.dataframe[0].value["verdict"].tolist() == [row.verdict for row in ROWS]


def test_one_instrument_is_shown_alone_and_so_is_what_is_not_right(tmp_path: Path) -> None:
    test = shown(tmp_path, CODE)
    test.selectbox(key="calibration.instrument").set_value("losses").run()
    assert "losses was right on 1 of 2 known answers." in texts(test)
    assert test.dataframe[0].value["measured"].tolist() == ["0.5", "0.7"]
    test.selectbox(key="calibration.instrument").set_value("first_learned_step").run()
    assert "first_learned_step has no known answer yet." in texts(test)
    test.selectbox(key="calibration.instrument").set_value("all instruments").run()
    test.toggle(key="calibration.wrong").set_value(True).run()
    assert test.dataframe[0].value["quantity"].tolist() == ["test loss", ""]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(CODE | {"losses": "other", "phases": "other"}, "known models of losses, phases changed"),
     ({}, "known models of every instrument changed"), (None, "not calibrated yet")],
)  # fmt: skip
def test_what_is_stale_or_missing_is_said_with_the_command_that_makes_it(
    code: dict[str, str] | None, sentence: str, tmp_path: Path
) -> None:
    test = shown(tmp_path, code)
    assert sentence in texts(test)
    assert [code.value for code in test.code] == ["make calibrate"]
    assert bool(test.dataframe) is (code is not None)
