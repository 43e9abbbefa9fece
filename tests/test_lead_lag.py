"""Onsets and leads of artifacts written by hand, in several variants of one family."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspace import Workspace

from miscope import catalog
from miscope.core import MiscopeError
from miscope.instrument import Artifact, Output, OverTraining, PerCheckpoint
from miscope.report import lead_lag

sys.path.insert(0, str(Path(__file__).parent / "views"))

import synthetic


@pytest.fixture(scope="module")
def sources() -> Mapping[str, Any]:
    return synthetic.sources()


def test_every_measure_that_moved_has_an_interval_between_two_checkpoints(tiny: Path) -> None:
    table = lead_lag.onsets(tiny, lead_lag.variants_of(tiny, "modulo_addition"))
    assert set(table["variant"]) == {"tiny"}
    assert "losses.train_loss" in set(table["measure"])
    assert (table["before"] < table["by"]).all()
    assert ((table["by"] - table["before"]) % 20 == 0).all()  # some instruments look at fewer checkpoints


def test_every_two_measures_are_ordered_or_undecided(tiny: Path) -> None:
    moved = lead_lag.onsets(tiny, ["tiny"]).set_index("measure")
    table = lead_lag.lead_lag(tiny, ["tiny"])
    assert len(table) == len(moved) * (len(moved) - 1) // 2
    assert (table["leads"] + table["lags"] + table["undecided"] == 1).all()
    for row in table.itertuples():
        first, then = moved.loc[row.first], moved.loc[row.then]
        assert row.leads == (first["by"] <= then["before"])
        assert row.lead == (then["before"] + then["by"] - first["before"] - first["by"]) / 2 >= 0


def test_variants_without_artifacts_say_what_to_run(own_copy: Workspace) -> None:
    own_copy.edit("params.yaml", "variants:\n", "variants:\n  fresh: {family: modulo_addition, modulus: 13, seed: 3}\n")
    with pytest.raises(MiscopeError, match=r"No fresh artifact of fresh\. Run `dvc repro report@fresh`"):
        lead_lag.onsets(own_copy.path, ["fresh"])
    with pytest.raises(MiscopeError, match=r"No fresh artifact of fresh\."):
        lead_lag.lead_lag(own_copy.path, ["fresh"])


def test_the_change_points_of_a_measure_lie_between_checkpoints(tiny: Path) -> None:
    found = lead_lag.changes(tiny, ["tiny"], "losses.train_loss")
    assert set(found["kind"]) <= {"level", "slope"}
    assert (found["by"] - found["before"] == 20).all()
    assert (found["penalty"] > 0).all()
    with pytest.raises(MiscopeError, match=r"has the measure `losses\.speed`"):
        lead_lag.changes(tiny, ["tiny"], "losses.speed")


def test_a_measure_that_moves_like_a_logistic_has_a_sharpness(tiny: Path) -> None:
    table = lead_lag.onsets(tiny, ["tiny"], has_sharpness=True)
    assert (table["sharpness"].dropna() > 0).all()
    assert table["sharpness"].notna().any()


# they look at no single number: raw maps and activations, kernels for another instrument, and events themselves
WITHOUT = {"attention_patterns", "neuron_activations", "phases", "representations"}


@pytest.mark.parametrize("name", catalog.instruments())
def test_every_instrument_names_its_measures_and_they_are_numbers(sources: Mapping[str, Any], name: str) -> None:
    analyzer = catalog.instrument(name)
    assert (analyzer.measures is None) == (name in WITHOUT)
    if analyzer.measures is None:
        return
    source = sources[name]
    if isinstance(analyzer, OverTraining):
        found = {key: np.asarray(value) for key, value in analyzer.measures(source).items()}
        assert {value.shape for value in found.values()} <= {(len(source.steps),)}
    else:
        found = {key: np.asarray(value) for key, value in analyzer.measures(source[source.steps[-1]]).items()}
        assert all(isinstance(value, float) for value in analyzer.measures(source[source.steps[0]]).values())
    assert found and all(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*( of .+)?", key) for key in found)


def test_an_instrument_without_named_measures_gives_its_numbers_and_named_lists() -> None:
    @dataclass(frozen=True)
    class Seen(Output):
        score: float
        part: tuple[str, ...]
        share: np.ndarray
        grid: np.ndarray

    curves = {
        0: Seen(1.0, ("a", "b"), np.array([0.1, 0.9]), np.eye(2)),
        5: Seen(2.0, ("a", "b"), np.ones(2), np.eye(2)),
    }
    analyzer = PerCheckpoint(lambda checkpoint, context: curves[0])
    found = {name: values.tolist() for name, (_, values) in order._curves(analyzer, Artifact((0, 5), curves.get))}
    assert found == {"score": [1.0, 2.0], "share of a": [0.1, 1.0], "share of b": [0.9, 1.0]}


def test_measures_of_trackers_and_of_checkpoints_are_ordered_together(tiny: Path) -> None:
    instruments = {measure.partition(".")[0] for measure in lead_lag.onsets(tiny, ["tiny"])["measure"]}
    assert {"losses", "weight_norms", "parameter_trajectory", "neuron_spectra", "singular_values"} <= instruments
