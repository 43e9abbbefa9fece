"""What particular tables must say, on outputs whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from miscope.views.shared.tidy import long
from synthetic import P, context, phases, table_of

from miscope import catalog
from miscope.core import MiscopeError
from miscope.instrument import Artifact
from miscope.renderers import Frame


def test_long_gives_one_row_per_measured_cell_in_c_order():
    table = long("v", np.array([[1.0, np.nan], [3.0, 4.0]]), row=(10, 20), name=("a", "b"))
    assert table.to_dict("list") == {"row": [10, 20, 20], "name": ["a", "a", "b"], "v": [1.0, 3.0, 4.0]}


def test_the_planted_frequency_is_the_dominant_one(sources, context):
    table = table_of(catalog.view("dominant_frequencies"), sources, context, 1000)
    assert set(table.loc[table["is_dominant"], "frequency"]) == {3}
    assert table["share"].sum() == pytest.approx(1)


def test_a_class_that_was_not_measured_has_no_row(sources, context):
    table = table_of(catalog.view("losses.class_accuracy"), sources, context)
    assert 3 not in set(table["class"])


def test_a_split_without_inputs_has_no_row(sources, context):
    without_train = replace(sources["losses"][0], train_loss=None)
    table = catalog.view("losses").table(Artifact((0,), lambda step: without_train), context)
    assert list(table["split"]) == ["test"]


def test_confidence_of_train_inputs_keeps_only_those(sources, context):
    table = table_of(catalog.view("losses.confidence"), sources, context, inputs="train")
    assert len(table) == context.probe.is_train.sum()
    assert set(zip(table["a"] * P + table["b"], strict=True)) == {(i,) for i in np.flatnonzero(context.probe.is_train)}


def test_activation_maps_show_each_input_at_its_place(sources, context):
    table = table_of(catalog.view("neuron_activations"), sources, context, neurons=(2, 5))
    raw = sources["neuron_activations"][500].activation[0]
    for neuron, part in table.groupby("neuron"):
        np.testing.assert_array_equal(part["activation"], raw[neuron])
        np.testing.assert_array_equal(part["a"] * P + part["b"], np.arange(P * P))


def test_chosen_neurons_are_the_same_at_every_step_and_cover_every_frequency(sources, context):
    view = catalog.view("neuron_activations")
    first, last = (table_of(view, sources, context, step, n=3) for step in (100, 1000))
    assert list(first["neuron"].unique()) == list(last["neuron"].unique())
    assert {name.rpartition(" ")[2] for name in last["panel"].unique()} == {"1", "2", "3"}


def test_a_probe_that_is_no_grid_is_drawn_along_one_axis(sources):
    view, plain = catalog.view("losses.confidence"), context(is_grid=False)
    table = table_of(view, sources, plain)
    assert set(table["a"]) == {0} and len(table) == P * P
    assert view.draw(table, Frame(view.question, step=500)).layout.xaxis.title.text == "probe input"


def test_clusters_count_every_neuron_once(sources, context):
    bands = table_of(catalog.view("neuron_spectra.clusters"), sources, context).attrs["bands"]
    assert [band[0] for band in bands] == [0, *(band[1] + 1 for band in bands[:-1])]
    assert bands[-1][1] == 7


def test_heads_are_averaged_unless_asked_for(sources, context):
    view = catalog.view("singular_values")
    ratio = sources["singular_values"][500].participation_ratio
    table = table_of(view, sources, context)
    row = table[(table["matrix"] == "W_Q") & (table["step"] == 500)]
    assert row["participation_ratio"].item() == pytest.approx(ratio[1:3].mean())
    heads = table_of(view, sources, context, heads_of="W_Q")
    assert set(heads["matrix"]) == {"W_Q head 0", "W_Q head 1"}
    with pytest.raises(MiscopeError, match="known: W_E, W_Q, W_in, W_U"):
        table_of(view, sources, context, heads_of="W_X")


def test_an_event_that_did_not_happen_has_no_row(sources, context):
    table = table_of(catalog.view("phases"), sources, context)
    assert list(table.loc[table["kind"] == "event", "name"]) == ["memorised", "crossover", "onset"]


def test_a_neuron_that_never_commits_keeps_the_share_below_one(sources, context):
    table = table_of(catalog.view("neuron_dynamics.commitment"), sources, context)
    assert table["committed"].max() == pytest.approx(7 / 8)


def test_the_step_axis_spans_training_where_the_table_does_not(sources, context):
    view = catalog.view("parameter_trajectory.speed")
    drawn = view.draw(table_of(view, sources, context), Frame(view.question, phases=phases()))
    assert tuple(drawn.layout.xaxis.range) == (0, 1000)
