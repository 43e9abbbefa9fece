"""Onsets and leads of artifacts written by hand, in several variants of one family."""

from pathlib import Path

import pytest
from workspace import Workspace

from miscope import order
from miscope.core import MiscopeError


def test_every_measure_that_moved_has_an_interval_between_two_checkpoints(tiny: Path) -> None:
    table = order.onsets(tiny, order.variants_of(tiny, "modulo_addition"))
    assert set(table["variant"]) == {"tiny"}
    assert "losses.train_loss" in set(table["measure"])
    assert (table["before"] < table["by"]).all()
    assert ((table["by"] - table["before"]) % 20 == 0).all()  # some instruments look at fewer checkpoints


def test_every_two_measures_are_ordered_or_undecided(tiny: Path) -> None:
    moved = order.onsets(tiny, ["tiny"]).set_index("measure")
    table = order.lead_lag(tiny, ["tiny"])
    assert len(table) == len(moved) * (len(moved) - 1) // 2
    assert (table["leads"] + table["lags"] + table["undecided"] == 1).all()
    for row in table.itertuples():
        first, then = moved.loc[row.first], moved.loc[row.then]
        assert row.leads == (first["by"] <= then["before"])
        assert row.lead == (then["before"] + then["by"] - first["before"] - first["by"]) / 2 >= 0


def test_variants_without_artifacts_say_what_to_run(own_copy: Workspace) -> None:
    own_copy.edit("params.yaml", "variants:\n", "variants:\n  fresh: {family: modulo_addition, modulus: 13, seed: 3}\n")
    with pytest.raises(MiscopeError, match=r"No fresh artifact of fresh\. Run `dvc repro report@fresh`"):
        order.onsets(own_copy.path, ["fresh"])
    with pytest.raises(MiscopeError, match=r"No fresh artifact of fresh\."):
        order.lead_lag(own_copy.path, ["fresh"])


def test_the_change_points_of_a_measure_lie_between_checkpoints(tiny: Path) -> None:
    found = order.changes(tiny, ["tiny"], "losses.train_loss")
    assert set(found["kind"]) <= {"level", "slope"}
    assert (found["by"] - found["before"] == 20).all()
    assert (found["penalty"] > 0).all()
    with pytest.raises(MiscopeError, match=r"has the measure `losses\.speed`"):
        order.changes(tiny, ["tiny"], "losses.speed")


def test_a_measure_that_moves_like_a_logistic_has_a_sharpness(tiny: Path) -> None:
    table = order.onsets(tiny, ["tiny"], has_sharpness=True)
    assert (table["sharpness"].dropna() > 0).all()
    assert table["sharpness"].notna().any()
