"""What every view in the catalogue keeps, found by discovery: a new file is tested the moment it exists."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import synthetic
from synthetic import table_of

from miscope import catalog
from miscope.instrument import PerCheckpoint
from miscope.renderers import Frame

BUILT = [name for name in catalog.views() if name.partition(".")[0] in synthetic.sources()]
STEP = 500


def frame(name: str) -> Frame:
    return Frame(catalog.view(name).question, "a_label", STEP, synthetic.phases())


def figure(name, sources, context) -> go.Figure:
    view = catalog.view(name)
    return view.draw(table_of(view, sources, context, STEP), frame(name))


def test_every_instrument_has_an_overview_and_synthetic_outputs():
    for instrument in {name.partition(".")[0] for name in catalog.views()}:
        assert catalog.view(instrument).name == f"{instrument}.overview"
        assert instrument in synthetic.sources(), f"tests/views/synthetic.py makes no outputs for {instrument}"


@pytest.mark.parametrize("name", catalog.views())
def test_a_view_asks_a_question_and_says_how_to_read_the_answer(name):
    view = catalog.view(name)
    assert view.name == name
    assert view.question.endswith("?") and len(view.question) > 10
    assert view.reading.strip().endswith(".")
    assert view.needs.name == name.partition(".")[0]
    assert view.is_per_step <= isinstance(view.needs, PerCheckpoint)


@pytest.mark.parametrize("name", BUILT)
def test_a_table_has_rows_of_finite_numbers_and_names(name, sources, context):
    table = table_of(catalog.view(name), sources, context)
    assert isinstance(table, pd.DataFrame) and len(table)
    for column in table:
        assert re.fullmatch(r"[a-z][a-z_]*", column)
        values = table[column]
        assert not values.isna().any()
        if pd.api.types.is_float_dtype(values):
            assert values.dtype.itemsize >= 4 and np.isfinite(values).all()


@pytest.mark.parametrize("name", BUILT)
def test_a_drawing_has_data_and_the_question_as_its_title(name, sources, context):
    drawn = figure(name, sources, context)
    title = re.sub(r"<[^>]+>", " ", drawn.layout.title.text)
    assert title.startswith(catalog.view(name).question)
    assert "a_label" in title
    assert drawn.data
    assert drawn.layout.height


@pytest.mark.parametrize("name", BUILT)
def test_drawing_twice_gives_the_same_figure_and_leaves_the_table_alone(name, sources, context):
    view = catalog.view(name)
    table = table_of(view, sources, context)
    before = table.copy(deep=True)
    assert view.draw(table, frame(name)).to_json() == view.draw(table, frame(name)).to_json()
    pd.testing.assert_frame_equal(table, before)
    assert table.attrs == before.attrs


@pytest.mark.parametrize("name", BUILT)
def test_a_step_axis_shows_the_current_step_and_the_phases(name, sources, context):
    drawn = figure(name, sources, context)
    if not any(axis.title.text == "step" for axis in drawn.select_xaxes()):
        pytest.skip("this view has no step axis")
    lines = [shape for shape in drawn.layout.shapes if shape.name == "current step"]
    assert lines and all(line.x0 == line.x1 == STEP for line in lines)
    if name != "phases.overview":  # it is made of them
        assert {a.text for a in drawn.layout.annotations if a.name == "phase label"} == set(synthetic.phases().phase)


@pytest.mark.parametrize("name", [name for name in BUILT if catalog.view(name).is_per_step])
def test_scales_do_not_jump_from_step_to_step(name, sources, context):
    view = catalog.view(name)
    limits = [table_of(view, sources, context, step).attrs.get("limits") for step in (0, STEP, 1000)]
    assert limits[0] is None or limits[0] == limits[1] == limits[2]
    assert limits[0] is not None or name == "losses.correctness"  # categories have no scale


@pytest.mark.parametrize("name", BUILT)
def test_the_frame_can_lock_a_scale_from_outside(name, sources, context):
    view = catalog.view(name)
    table = table_of(view, sources, context)
    numbers = [c for c in table if pd.api.types.is_float_dtype(table[c])]
    locked = Frame(view.question, limits=dict.fromkeys(numbers, (0.5, 7.0)))
    drawn = view.draw(table, locked).to_dict()["layout"]
    ends = [(0.5, 7.0), tuple(np.log10([0.5, 7.0]))]
    scale = drawn.get("coloraxis", {})
    scene = drawn.get("scene", {})
    axes = [axis for part in (drawn, scene) for key, axis in part.items() if "axis" in key and isinstance(axis, dict)]
    found = [tuple(axis.get("range", ())) for axis in axes] + [(scale.get("cmin"), scale.get("cmax"))]
    assert not numbers or any(end in found for end in ends)


@pytest.mark.parametrize("name", BUILT)
def test_steps_can_be_drawn_on_a_logarithmic_axis(name, sources, context):
    view = catalog.view(name)
    logarithmic = Frame(view.question, step=0, phases=synthetic.phases(), has_log_steps=True)
    drawn = view.draw(table_of(view, sources, context), logarithmic)
    lines = [shape for shape in drawn.layout.shapes if shape.name == "current step"]
    assert all(line.x0 == 1 for line in lines)
