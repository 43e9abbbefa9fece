"""The product's one look: white, legible at 600 px, colours that colour-blind readers can tell apart.

Source: the categorical palette is Okabe and Ito 2008, "Color Universal Design"; on viridis and its kin see Nunez
et al. 2018, PLoS ONE 13(7): e0199239.
"""

import plotly.graph_objects as go
import plotly.io as pio

FONT = "Inter, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
INK, GREY, PALE = "#222222", "#6B6B6B", "#D9D9D9"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7F00")
MARK = "#D00000"  # the current step
SEQUENTIAL, DIVERGING = "Viridis", "RdBu_r"
DASHES = ("solid", "dash", "dot", "dashdot")
MAX_LEGEND = 8  # more categories than this get direct labels or a colour bar
PHASES = {
    "memorisation": "#B07C2A", "plateau": "#8C8C8C", "circuit formation": "#3E7CB1", "cleanup": "#4B9B78",
    "after": "#8E6BA8",
}  # fmt: skip

_AXIS = {
    "showline": True, "linecolor": "#999999", "ticks": "outside", "tickcolor": "#999999", "ticklen": 4,
    "gridcolor": "#EEEEEE", "zeroline": False, "title": {"standoff": 8, "font": {"size": 13}},
    "tickfont": {"size": 12}, "automargin": False, "exponentformat": "power",
}  # fmt: skip

pio.templates["miscope"] = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK}, "paper_bgcolor": "white", "plot_bgcolor": "white",
        "colorway": list(PALETTE), "xaxis": _AXIS, "yaxis": _AXIS, "bargap": 0.15,
        "title": {"font": {"size": 17}, "x": 0, "xanchor": "left", "xref": "container"},
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "legend": {"orientation": "h", "font": {"size": 12}, "itemsizing": "constant", "traceorder": "normal"},
        "scene": {axis: {"backgroundcolor": "white", "gridcolor": "#DDDDDD"} for axis in ("xaxis", "yaxis", "zaxis")},
    }
)  # fmt: skip


def phase_color(name: str, position: int) -> str:
    """The muted colour of a phase; a name that the theme does not know takes one by its position."""
    return PHASES.get(name.lower().replace("_", " "), tuple(PHASES.values())[position % len(PHASES)])
