"""The page Compare, by Streamlit's AppTest."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

PAGE = """
from pathlib import Path
import compare, style
style.apply()
compare.page(Path({root!r}))
"""


def test_the_page_draws_both_and_its_link_reopens_it(pair: Path) -> None:
    test = AppTest.from_string(PAGE.format(root=str(pair)), default_timeout=120).run()
    assert not test.exception
    assert not test.error
    assert test.query_params["compared"] == ["twin", "tiny"]  # as params.yaml has them
    test = test.multiselect("compared").set_value(["tiny"]).run()
    assert "Choose 2 to 4 variants" in test.info[0].value
    again = AppTest.from_string(PAGE.format(root=str(pair)), default_timeout=120)
    again.query_params["align"] = "memorised"
    again = again.run()
    assert not again.exception
    assert again.selectbox("align").value == "memorised"


def test_the_page_says_that_it_takes_two(tiny: Path) -> None:
    test = AppTest.from_string(PAGE.format(root=str(tiny)), default_timeout=120).run()
    assert "it takes two" in test.info[0].value
