"""The page Compare: two to four variants in one view. Curves share a figure; other drawings share their scales."""

import json

import address
import chart
import options
import streamlit as st
import style
from data import OpenWorkspace, Options, Stamp

from miscope.core import MiscopeError
from miscope.workspace.comparison import EVENTS, MOST, ComparedView, Comparison, compared

FIRST_VIEWS = ("losses.overview", "neuron_spectra.clusters")


def page(workspace: OpenWorkspace) -> None:
    """The choice of variants and views in the sidebar; a card for each view."""
    address.arrive()
    trained = tuple(name for name in workspace.variants if workspace.folder(name).record.is_file())
    st.header("Compare")
    if len(trained) < 2:
        style.say(f"It takes two trained variants to compare; this workspace has {len(trained)}. Run `dvc repro`.")
        return
    names, views, align = _sidebar(workspace, trained)
    if not 2 <= len(names) <= MOST:
        st.info(f"Choose 2 to {MOST} variants in the sidebar.")
        return
    chart.load_library()
    step = _step(compared(workspace, names), views, align)
    address.show({"compared": names, "compared view": views, "align": [align]})
    for view in views:
        with st.container(key=f"card_compare_{view}"):
            _card(workspace, tuple(names), view, align, step)


def _sidebar(workspace: OpenWorkspace, trained: tuple[str, ...]) -> tuple[list[str], list[str], str]:
    one_of = address.one_of
    with st.sidebar:
        address.bind("compared", list(trained[:2]), lambda texts: [one_of(text, trained) for text in texts])
        names = st.multiselect("Variants", trained, key="compared", max_selections=MOST)
        known = (*workspace.catalog.views(), *_task_views(workspace, names))
        first = [view for view in FIRST_VIEWS if view in known]
        address.bind("compared view", first, lambda texts: [one_of(text, known) for text in texts])
        address.bind("align", "start", lambda texts: one_of(texts[0], ("start", *EVENTS)))
        st.session_state["compared view"] = [view for view in st.session_state["compared view"] if view in known]
        views = st.multiselect("Views", known, key="compared view")
        align = st.selectbox("Count steps from", ("start", *EVENTS), key="align")
        st.caption("Curves share one figure. Other drawings stand side by side, with the same axes and colours.")
    return names, views, align


def _task_views(workspace: OpenWorkspace, names: list[str]) -> tuple[str, ...]:
    """The views that a family brings, where all the variants are of that family; Explore says which are left out."""
    families = {workspace.variants[name].family_name for name in names}
    if len(families) != 1:
        return ()
    try:
        return tuple(workspace.load(names[0]).task_views)
    except MiscopeError:
        return ()


def _step(variants: Comparison, views: list[str], align: str) -> int | None:
    """The step at which views of one checkpoint are shown, counted as `align` says; None: the last of each variant."""
    per_step = [view for view in views if variants.variants[0].declared(view).is_per_step]
    try:
        zeros = variants.view(per_step[0], align=align).zeros if per_step else ()
    except MiscopeError:  # a variant lacks the event: each card says so
        return None
    steps = sorted({s - zero for variant, zero in zip(variants.variants, zeros, strict=False) for s in variant.steps})
    if not steps:
        return None
    if st.session_state.get("compared step") not in steps:
        st.session_state["compared step"] = steps[-1]
    counted = "Step" if align == "start" else f"Steps after {align}"
    label = f"{counted} (each variant is shown at its nearest checkpoint)"
    shown = st.select_slider(label, steps, key="compared step", format_func=lambda s: f"{s:,}")
    return None if shown == steps[-1] else int(shown)


def _card(workspace: OpenWorkspace, names: tuple[str, ...], name: str, align: str, step: int | None) -> None:
    view = workspace.load(names[0]).declared(name)
    chosen, shown = options.values(view), step if view.is_per_step else None
    try:
        made_from = tuple(workspace.load(variant).stamp(view.needs.name, "phases") for variant in names)
        figures = _figures(workspace, names, name, align, shown, chosen, made_from)
    except MiscopeError as error:
        style.say_why_not(view, error)
        return
    for i, (column, figure) in enumerate(zip(st.columns(max(len(figures), 1)), figures, strict=True)):
        with column:
            chart.draw(figure, f"compare {name} {i}", lambda key: None)
    with st.container(key=f"tools_compare_{name}", horizontal=True, gap="small"):
        options.popovers(view)
        bound = _view(workspace, names, name, align, step, chosen)
        st.download_button(
            "CSV", lambda: bound.table().to_csv(index=False, lineterminator="\n"), f"{'_'.join(names)}_{name}.csv",
            "text/csv", type="tertiary", on_click="ignore", key=f"csv compare {name}",
        )  # fmt: skip


@st.cache_data(show_spinner="Drawing ...", max_entries=64)
def _figures(
    workspace: OpenWorkspace, names: tuple[str, ...], view: str, align: str, step: int | None, chosen: Options,
    made_from: tuple[Stamp, ...],
) -> list[str]:  # fmt: skip
    figures = _view(workspace, names, view, align, step, chosen).figures()
    drawn = [json.loads(figure.to_json()) for figure in figures]
    for figure in drawn:
        figure["layout"]["meta"] = {"clicks": ""}
    return [json.dumps(figure) for figure in drawn]


def _view(
    workspace: OpenWorkspace, names: tuple[str, ...], view: str, align: str, step: int | None, chosen: Options
) -> ComparedView:
    return compared(workspace, names).view(view, step, align, **dict(chosen))
