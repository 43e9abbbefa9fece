"""Measure the time from a move of the slider to the redrawn figure in a browser: redraw.py ROOT VARIANT [VIEW ...]

Each view alone on the page. `next` presses the arrow key, as play and a reader do; `jump` clicks the slider's track far
away, where nothing was drawn ahead. Prints a table in ms and, last, one line of JSON. Needs a chromium.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

from miscope import api
from miscope.catalog import builtin

MAIN = Path(__file__).parents[1] / "app" / "main.py"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MOVES = 5
JUMPS = (0.3, 0.9, 0.1, 0.65, 0.4)  # along the slider, far from one another

WATCH = """() => {
  const chart = document.querySelector('.js-plotly-plot');
  window.moved = null; window.drawn = null;
  const start = () => { window.moved = performance.now(); window.drawn = null; };
  document.addEventListener('keydown', start, true);
  document.addEventListener('pointerup', start, true);
  chart.on('plotly_afterplot', () => requestAnimationFrame(() => { window.drawn = performance.now(); }));
}"""


def main(root: Path, variant: str, *views: str) -> None:
    with serving(root) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        redrawn = {}
        for view in views or builtin().views():
            if times := measured(page, address, root, variant, view):
                redrawn[view] = times
                row = "  ".join(
                    f"{kind} {statistics.median(t):6.0f} (worst {max(t):4.0f})" for kind, t in times.items()
                )
                print(f"{view:38s} {row}", flush=True)
            else:
                print(f"{view:38s} no figure", flush=True)
        browser.close()
    print(json.dumps(summary(redrawn)))


def summary(redrawn: dict[str, dict[str, list[float]]]) -> dict[str, float | str]:
    """The median over views, and the view that is worst, by the median of its moves."""
    medians = {view: statistics.median(times["next"]) for view, times in redrawn.items()}
    jumps = {view: statistics.median(times["jump"]) for view, times in redrawn.items()}
    worst = max(medians, key=lambda view: medians[view])
    return {
        "views": len(redrawn),
        "redraw_ms_median": round(statistics.median(medians.values())),
        "redraw_ms_worst": round(medians[worst]),
        "worst_view": worst,
        "jump_ms_median": round(statistics.median(jumps.values())),
        "jump_ms_worst": round(max(jumps.values())),
    }


def measured(page: Page, address: str, root: Path, variant: str, view: str) -> dict[str, list[float]]:
    """Milliseconds of several moves of each kind; empty if the view draws no figure here."""
    steps = api.load_variant(variant, root).steps
    start = steps[len(steps) // 2]
    page.goto(f"{address}/explore?variant={quote(variant)}&view={quote(view)}&step={start}&columns=1")
    try:
        page.wait_for_selector(".js-plotly-plot .main-svg, .stAlert", timeout=60_000)
    except Exception:
        return {}
    if not page.locator(".js-plotly-plot").count():
        return {}
    page.wait_for_timeout(1_500)
    page.evaluate(WATCH)
    page.locator(".stSlider input[type=range]").focus()
    one_on = [elapsed(page, lambda: page.keyboard.press("ArrowRight")) for _ in range(MOVES)]
    box = page.locator(".stSlider").bounding_box()
    assert box is not None
    places = [box["x"] + box["width"] * (0.05 + 0.9 * share) for share in JUMPS]
    jumps = [elapsed(page, lambda x=x: page.mouse.click(x, box["y"] + box["height"] / 2)) for x in places]
    return {"next": one_on, "jump": jumps}


def elapsed(page: Page, move: object) -> float:
    page.evaluate("window.moved = window.drawn = null")
    move()  # type: ignore[operator]
    page.wait_for_function("window.moved && window.drawn", timeout=10_000, polling=20)
    spent = float(page.evaluate("window.drawn - window.moved"))
    page.wait_for_timeout(700)  # as long as a reader looks; what is drawn ahead is drawn now
    return spent


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The app on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(MAIN),
        "--server.port",
        str(port),
        "--",
        "--root",
        str(root),
    ]
    server = subprocess.Popen(
        command, cwd=MAIN.parents[1], stdout=subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"}
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/_stcore/health")
        yield address
    finally:
        server.terminate()
        server.wait(10)


def wait_for(url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
