"""The page Compare: two to four variants in one view, curves over each other, everything else on one scale."""

import json
from pathlib import Path

import chart
import data
import options
import place
import streamlit as st
import style
from miscope.comparison import EVENTS, MOST, Comparison, compare

from miscope import api, catalog
from miscope.core import MiscopeError, NotApplicable
from miscope.workspace import files

FIRST_VIEWS = ("losses.overview", "neuron_spectra.clusters")


def page(root: Path) -> None:
    """What to compare in the sidebar; a card for each view."""
    place.arrive()
    trained = [name for name in api.variants(root) if files.folder_of(root, name).record.is_file()]
    st.header("Compare")
    if len(trained) < 2:
        style.say(f"{len(trained)} of the variants in params.yaml are trained; it takes two. Run `dvc repro`.")
        return
    names, views, align = _sidebar(root, trained)
    if not 2 <= len(names) <= MOST:
        st.info(f"Choose 2 to {MOST} variants at the left.")
        return
    chart.load_library()
    step = _step(compare(*names, root=root), views, align)
    place.show({"compared": names, "compared view": views, "align": [align]})
    for view in views:
        with st.container(key=f"card_compare_{view}"):
            _card(root, tuple(names), view, align, step)


def _sidebar(root: Path, trained: list[str]) -> tuple[list[str], list[str], str]:
    with st.sidebar:
        place.bind("compared", trained[:2], lambda texts: [_known(text, tuple(trained)) for text in texts])
        first = [view for view in FIRST_VIEWS if view in catalog.views()]
        place.bind("compared view", first, lambda texts: [_known(text, catalog.views()) for text in texts])
        place.bind("align", "start", lambda texts: _known(texts[0], ("start", *EVENTS)))
        label = lambda name: data.load(root, name).label  # noqa: E731
        names = st.multiselect("Variants", trained, key="compared", format_func=label, max_selections=MOST)
        views = st.multiselect("Views", catalog.views(), key="compared view")
        align = st.selectbox("Steps counted from", ("start", *EVENTS), key="align")
        st.caption("Curves lie over each other; what cannot stands side by side on common axes and one colour scale.")
    return names, views, align


def _known(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise ValueError(f"there is no `{text}`.")
    return text


def _step(compared: Comparison, views: list[str], align: str) -> int | None:
    """The step that views of one step show, counted as `align` says; None: the last of each variant."""
    per_step = [view for view in views if catalog.view(view).is_per_step]
    try:
        zeros = compared.view(per_step[0], align=align).zeros if per_step else ()
    except MiscopeError:  # an event that did not happen: each card says so
        return None
    steps = sorted({s - zero for variant, zero in zip(compared.variants, zeros, strict=False) for s in variant.steps})
    if not steps:
        return None
    if st.session_state.get("compared step") not in steps:
        st.session_state["compared step"] = steps[-1]
    shown = st.select_slider(f"Step after {align} (each variant at its nearest checkpoint)", steps, key="compared step")
    return None if shown == steps[-1] else int(shown)


def _card(root: Path, names: tuple[str, ...], name: str, align: str, step: int | None) -> None:
    view = catalog.view(name)
    chosen = options.values(view)
    try:
        stamps = tuple(data.stamp(root, variant, needed) for variant in names for needed in (view.needs.name, "phases"))
        figures = _figures(root, names, name, align, step if view.is_per_step else None, chosen, stamps)
    except MiscopeError as error:
        st.markdown(f"##### {view.question}")
        style.say(f"Not applicable: {error}" if isinstance(error, NotApplicable) else str(error))
        return
    for i, (column, figure) in enumerate(zip(st.columns(max(len(figures), 1)), figures, strict=True)):
        with column:
            chart.draw(figure, f"compare {name} {i}", lambda key: None)
    with st.container(key=f"tools_compare_{name}", horizontal=True, gap="small"):
        with st.popover("How to read it", type="tertiary"):
            st.markdown(f"**{view.question}**\n\n{view.reading}\n\n`{name}`")
        if view.options:
            with st.popover("Options", type="tertiary"):
                options.widgets(view)
        table = lambda: (  # noqa: E731
            compare(*names, root=root).view(name, step, align, **dict(chosen)).table()
            .to_csv(index=False, lineterminator="\n")
        )  # fmt: skip
        st.download_button("CSV", table, f"{'_'.join(names)}_{name}.csv", "text/csv", type="tertiary",
                           on_click="ignore", key=f"csv compare {name}")  # fmt: skip


@st.cache_data(show_spinner="Drawing ...", max_entries=64)
def _figures(
    root: Path, names: tuple[str, ...], view: str, align: str, step: int | None, chosen: data.Options,
    made_from: tuple[int, ...],
) -> list[str]:  # fmt: skip
    compared = Comparison(tuple(data.load(root, name) for name in names))
    figures = compared.view(view, step, align, **dict(chosen)).figures()
    drawn = [json.loads(figure.to_json()) for figure in figures]
    for figure in drawn:
        figure["layout"]["meta"] = {"clicks": ""}
    return [json.dumps(figure) for figure in drawn]
