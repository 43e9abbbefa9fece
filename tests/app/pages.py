"""A page of the app, opened by Streamlit's AppTest."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

SCRIPT = """
from pathlib import Path
import {page}, style
from data import OpenWorkspace
style.apply()
{page}.page(OpenWorkspace(Path({root!r})))
"""
LINKING = """
from pathlib import Path
import {page}, style
import streamlit as st
from data import OpenWorkspace
style.apply()
exploring = st.Page(lambda: None, url_path="explore")
shown = lambda: {page}.page(OpenWorkspace(Path({root!r})), exploring)
st.navigation([st.Page(shown, url_path="shown", default=True), exploring]).run()
"""


def opened(page: str, root: Path, **query: str | list[str]) -> AppTest:
    """The page on a workspace, as a link with this query opens it; it must not fail."""
    script = LINKING if page in ("variants", "catalogue") else SCRIPT
    test = AppTest.from_string(script.format(page=page, root=str(root)), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception
    return test


def texts(test: AppTest) -> str:
    shown = [*test.markdown, *test.info, *test.warning, *test.error, *test.code, *test.header, *test.caption]
    return "\n".join(str(element.value) for element in shown)
