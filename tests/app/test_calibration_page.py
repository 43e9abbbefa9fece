"""The page Calibration on tables that are written here, and on none."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from miscope.calibration import table
from miscope.calibration.table import Row, Table

PAGE = """
from pathlib import Path
import calibration, style
style.apply()
calibration.page(Path({root!r}))
"""
RIGHT = Row("losses", "train loss", "logits by hand", 0.5, 0.5, 1e-6, "right", "by arithmetic")
ROWS = (
    RIGHT,
    replace(RIGHT, quantity="test loss", measured=0.7, verdict="wrong"),
    replace(RIGHT, instrument="phases", quantity="onset", expected=100.0, measured=100.0),
    Row("graduation", "", "", None, None, None, "no known answer", ""),
)


@pytest.fixture
def opened(tmp_path: Path) -> AppTest:
    table.save(tmp_path, Table(ROWS, table.code_digest()))
    return shown(tmp_path)


def shown(root: Path) -> AppTest:
    test = AppTest.from_string(PAGE.format(root=str(root)), default_timeout=60).run()
    assert not test.exception
    return test


def said(test: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*test.markdown, *test.caption, *test.info, *test.code])


def test_the_page_says_on_how_many_known_answers_instruments_were_right(opened: AppTest) -> None:
    assert "2 instruments were right on 2 of 3 known answers." in said(opened)
    assert "Without a known answer: graduation." in said(opened)
    assert "make calibrate" not in said(opened)
    assert opened.dataframe[0].value["verdict"].tolist() == [row.verdict for row in ROWS]


def test_one_instrument_is_shown_alone(opened: AppTest) -> None:
    opened.selectbox(key="calibration.instrument").set_value("losses").run()
    assert "losses was right on 1 of 2 known answers." in said(opened)
    assert opened.dataframe[0].value["measured"].tolist() == ["0.5", "0.7"]
    opened.selectbox(key="calibration.instrument").set_value("graduation").run()
    assert "graduation has no known answer yet." in said(opened)


def test_what_is_not_right_is_shown_alone(opened: AppTest) -> None:
    opened.toggle(key="calibration.wrong").set_value(True).run()
    assert opened.dataframe[0].value["quantity"].tolist() == ["test loss", ""]


def test_a_table_of_other_code_is_said_to_be_so(tmp_path: Path) -> None:
    table.save(tmp_path, Table(ROWS, "another"))
    assert "has changed since" in said(shown(tmp_path))
    assert [code.value for code in shown(tmp_path).code] == ["make calibrate"]


def test_without_a_table_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    test = shown(tmp_path)
    assert "not calibrated yet" in said(test)
    assert [code.value for code in test.code] == ["make calibrate"]
    assert not test.dataframe
