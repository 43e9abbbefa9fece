"""A page of the app: opened by Streamlit's AppTest, or served to a browser."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[2] / "app"
OPEN = """
from pathlib import Path
import {page}, style
import streamlit as st
from data import OpenWorkspace
style.apply()
workspace = OpenWorkspace(Path({root!r}))
"""
ALONE = "{page}.page(workspace)"
LINKING = """
exploring = st.Page(lambda: None, url_path="explore")
st.navigation([st.Page(lambda: {page}.page(workspace, exploring), url_path="shown", default=True), exploring]).run()
"""  # a page with links to another


def script(page: str, root: Path) -> str:
    """What shows the page alone."""
    return (OPEN + (LINKING if page in ("variants", "catalogue") else ALONE)).format(page=page, root=str(root))


def opened(page: str, root: Path, **query: str | list[str]) -> AppTest:
    """The page on a workspace, as a link with this query opens it; it must not fail."""
    test = AppTest.from_string(script(page, root), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception
    return test


def texts(test: AppTest) -> str:
    shown = [*test.markdown, *test.info, *test.warning, *test.error, *test.code, *test.header, *test.caption]
    return "\n".join(str(element.value) for element in shown)


@contextmanager
def served(script: Path, *arguments: str) -> Iterator[str]:
    """The address of a Streamlit script that runs on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.fileWatcherType", "none"]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *options, "--", *arguments]
    server = subprocess.Popen(command, cwd=APP.parent, stdout=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(url: str) -> None:
    for _ in range(300):
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=1).close()
            return
        time.sleep(0.2)
    raise TimeoutError(url)
