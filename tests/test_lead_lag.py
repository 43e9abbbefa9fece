"""Onsets and leads of what was measured on `tiny`, and what instruments name as their measures."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from workspace import NOT_APPLICABLE, Workspace

import miscope
from miscope.calibration.toys import toys
from miscope.catalog import builtin
from miscope.core import MiscopeError
from miscope.instrument import Artifact, Output, OverTraining, PerCheckpoint
from miscope.report import lead_lag
from miscope.workspace.loaded import LoadedVariant


@pytest.fixture(scope="module")
def read(variant: LoadedVariant) -> lead_lag.Read:
    """The measures of `tiny`, read once."""
    curves = lead_lag.measures(variant)
    return lambda asked: curves if asked is variant else lead_lag.measures(asked)


def test_every_measure_that_moved_has_an_interval_between_two_checkpoints(variant: LoadedVariant) -> None:
    table = lead_lag.onsets(lead_lag.variants_of(variant.workspace, "modulo_addition"))
    assert set(table["variant"]) == {"tiny"}
    assert (table["before"] < table["by"]).all()
    assert ((table["by"] - table["before"]) % 20 == 0).all()  # some instruments look at fewer checkpoints
    assert "losses.train_loss" in set(table["measure"])
    over_training = {"parameter_trajectory", "weight_norms"}
    instruments = {measure.partition(".")[0] for measure in table["measure"]}
    assert {"losses", "neuron_spectra", "singular_values", *over_training} <= instruments  # ordered together


def test_every_two_measures_are_ordered_or_undecided(variant: LoadedVariant, read: lead_lag.Read) -> None:
    moved = lead_lag.onsets([variant], read=read).set_index("measure")
    table = lead_lag.lead_lag([variant], read=read)
    assert len(table) == len(moved) * (len(moved) - 1) // 2
    assert (table["leads"] + table["lags"] + table["undecided"] == 1).all()
    for row in table.itertuples():
        first, then = moved.loc[row.first], moved.loc[row.then]
        assert row.leads == (first["by"] <= then["before"])
        assert row.lead == (then["before"] + then["by"] - first["before"] - first["by"]) / 2 >= 0


@pytest.mark.parametrize("asked", [lead_lag.onsets, lead_lag.lead_lag])
def test_variants_without_artifacts_say_what_to_run(asked: Any, own_copy: Workspace) -> None:
    own_copy.edit("params.yaml", "variants:\n", "variants:\n  fresh: {family: modulo_addition, modulus: 13, seed: 3}\n")
    with pytest.raises(MiscopeError, match=r"No fresh artifact of fresh\. Run `dvc repro report@fresh`"):
        asked([miscope.load_variant("fresh", own_copy.path)])


def test_the_change_points_of_a_measure_lie_between_checkpoints(variant: LoadedVariant, read: lead_lag.Read) -> None:
    changes = lead_lag.changes([variant], "losses.train_loss", read=read)
    assert set(changes["kind"]) <= {"level", "slope"}
    assert (changes["by"] - changes["before"] == 20).all()
    assert (changes["penalty"] > 0).all()
    with pytest.raises(MiscopeError, match=r"has the measure `losses\.speed`"):
        lead_lag.changes([variant], "losses.speed", read=read)


def test_a_measure_that_moves_like_a_logistic_has_a_sharpness(variant: LoadedVariant, read: lead_lag.Read) -> None:
    table = lead_lag.onsets([variant], has_sharpness=True, read=read)
    assert (table["sharpness"].dropna() > 0).all()
    assert table["sharpness"].notna().any()


# ---------------------------------------------------------------- what instruments name

# they look at no single number: raw maps and activations, kernels for another instrument, and events themselves
WITHOUT = {"attention_patterns", "neuron_activations", "phases", "representations"}
TOYS = {"walsh_spectrum": "sparse_parity", "neuron_groups": "solved"}  # small runs where these have something to tell


def test_all_instruments_but_those_of_maps_and_events_name_their_measures() -> None:
    assert {name for name in builtin().names if builtin().instrument(name).measures is None} == WITHOUT


@pytest.mark.parametrize("name", [name for name in builtin().names if name not in WITHOUT])
def test_every_instrument_names_its_measures_and_they_are_numbers(name: str, variant: LoadedVariant) -> None:
    instrument = builtin().instrument(name)
    toy = TOYS.get(name, "solved_induction" if name in NOT_APPLICABLE else "")
    measured = toys()[toy].artifact(instrument) if toy else variant.artifact(name)
    assert instrument.measures is not None
    if isinstance(instrument, OverTraining):
        numbers = {key: np.asarray(value) for key, value in instrument.measures(measured).items()}
        assert {value.shape for value in numbers.values()} <= {(len(measured.steps),)}
    else:
        numbers = dict(instrument.measures(measured.last))
        for output in (measured[measured.steps[0]], measured.last):
            assert all(isinstance(value, float) for value in instrument.measures(output).values())
    assert numbers and all(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*( of .+)?", key) for key in numbers)


def test_an_instrument_without_named_measures_gives_its_numbers_and_named_lists() -> None:
    @dataclass(frozen=True)
    class Seen(Output):
        score: float
        part: tuple[str, ...]
        share: np.ndarray
        grid: np.ndarray

    outputs = {
        0: Seen(1.0, ("a", "b"), np.array([0.1, 0.9]), np.eye(2)),
        5: Seen(2.0, ("a", "b"), np.ones(2), np.eye(2)),
    }
    curves = lead_lag._curves(PerCheckpoint(lambda checkpoint, context: outputs[0]), Artifact(outputs, outputs.get))
    numbers = {name: values.tolist() for name, (_, values) in curves}
    assert numbers == {"score": [1.0, 2.0], "share of a": [0.1, 1.0], "share of b": [0.9, 1.0]}
