"""The app in a process of its own, and a real browser before it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import APP, served
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(APP))  # as `streamlit run` does
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def address(tiny: Path) -> Iterator[str]:
    """The app on the tiny pipeline, served on a free port."""
    with served(APP / "main.py", "--root", str(tiny)) as address:
        yield address


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
