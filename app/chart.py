"""A Plotly chart that is updated in the page and reports which step was clicked.

`st.plotly_chart` builds a new chart whenever its data change: it flickers, loses the zoom, and reports no click on a
curve without markers. So the page loads Plotly's own script once, and `Plotly.react` updates each chart.
"""

from collections.abc import Callable
from pathlib import Path

import plotly
import streamlit as st

SCRIPT = """
const CONFIG = {displaylogo: false, responsive: true, doubleClickDelay: 250,
                modeBarButtons: [["toImage", "resetScale2d"]]};

function ready() {
  return new Promise(done => {
    const check = () => window.Plotly ? done(window.Plotly) : setTimeout(check, 15);
    check();
  });
}

function underPointer(chart, event) {
  const box = chart.getBoundingClientRect(), layout = chart._fullLayout;
  const px = event.clientX - box.left, py = event.clientY - box.top;
  for (const {xaxis, yaxis} of Object.values(layout._plots || {})) {
    const dx = px - xaxis._offset, dy = py - yaxis._offset;
    if (dx >= 0 && dx <= xaxis._length && dy >= -12 && dy <= yaxis._length) return xaxis.p2d(dx);
  }
  return null;
}

function clickedStep(chart, event) {
  const clicks = (chart.layout.meta || {}).clicks;
  if (clicks === "axis") return underPointer(chart, event);
  const point = (chart._hoverdata || [])[0];
  return clicks === "point" && point && typeof point.customdata === "number" ? point.customdata : null;
}

// While the button is down Plotly covers the page, so the release is caught at the window.
function listen(chart) {
  chart.addEventListener("pointerdown", down => {
    if (down.button !== 0 || down.target.closest(".modebar, .legend")) return;
    const step = clickedStep(chart, down);
    window.addEventListener("pointerup", up => {
      const moved = Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY);
      if (moved < 4 && step !== null && Number.isFinite(step)) chart.send(step);
    }, {once: true, capture: true});
  }, true);
}

export default function ({data, parentElement, setTriggerValue}) {
  const chart = parentElement.querySelector(".miscope-chart");
  chart.send = step => setTriggerValue("step", step);
  chart.wanted = data.figure;
  ready().then(Plotly => {
    if (chart.wanted !== data.figure || chart.shown === data.figure) return;
    const figure = JSON.parse(data.figure);
    const isFirst = !chart.shown;
    chart.shown = data.figure;
    chart.style.minHeight = figure.layout.height + "px";
    chart.style.cursor = figure.layout.meta.clicks ? "pointer" : "";
    Plotly.react(chart, figure.data, figure.layout, CONFIG);
    if (isFirst) listen(chart);
  });
  return () => setTimeout(() => { if (!chart.isConnected && window.Plotly) window.Plotly.purge(chart); }, 0);
}
"""


@st.cache_resource(show_spinner=False)
def _plotly() -> str:
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return source.read_text(encoding="utf-8") + "\nexport default function () {}"


_library = st.components.v2.component("plotly", js=_plotly(), isolate_styles=False)
_chart = st.components.v2.component("chart", html='<div class="miscope-chart"></div>', js=SCRIPT, isolate_styles=False)


def load_library() -> None:
    """Load Plotly's script: once per page, outside of fragments."""
    _library(key="plotly")


def draw(figure_json: str, key: str, on_step: Callable[[str], None]) -> None:
    """Show a figure; a click on a step calls `on_step(key)`, and `clicked_step(key)` returns the step."""
    _chart(key=key, data={"figure": figure_json}, on_step_change=lambda: on_step(key))


def clicked_step(key: str) -> float | None:
    """The step of the last click on the chart."""
    return getattr(st.session_state.get(key), "step", None)
