"""The app in a process of its own, and a real browser before it."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

APP = Path(__file__).parents[2] / "app"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(autouse=True)
def app_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`streamlit run` puts the script's folder there."""
    monkeypatch.syspath_prepend(str(APP))


@pytest.fixture(scope="session")
def address(tiny: Path) -> Iterator[str]:
    """The app on the tiny pipeline, served on a free port."""
    with _served(APP / "main.py", "--root", str(tiny)) as served:
        yield served


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], AbstractContextManager[str]]:
    """Serves a Streamlit script of a test's own, and gives its address."""
    return _served


@contextmanager
def _served(script: Path, *arguments: str) -> Iterator[str]:
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


def _wait_for(url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """AppTest leaves its script as `__main__`, which a process spawned by a later test would run."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield started
        started.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens an address in a new tab."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(30_000)

    def opened(url: str) -> Page:
        page = context.new_page()
        page.goto(url)
        return page

    yield opened
    context.close()
