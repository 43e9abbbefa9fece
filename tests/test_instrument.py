"""Nulls in words and by view; tables and what draws them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from miscope.core import MiscopeError
from miscope.instrument import Artifact, Null, Output, Table, in_words, null_of, sampled_steps, view
from miscope.instruments._shared.nulls import against_untrained, raised


@dataclass(frozen=True)
class Measured(Output):
    value: float


def runs(*values: float, first: int = 0) -> Artifact[Measured]:
    return Artifact(range(first, first + len(values)), lambda step: Measured(values[step - first]))


def value_of(output: Measured) -> float:
    return output.value


@pytest.mark.parametrize(
    ("null", "sentence"),
    [
        (
            Null("largest share", 0.312, 0.041, "99 % of random embeddings", unit="share"),
            "Beyond its null: largest share 31.2 %, against 4.1 % in 99 % of random embeddings.",
        ),
        (Null("accuracy", 0.5, 0.5, "guessing"), "Within its null: accuracy 0.5, against 0.5 in guessing."),
        (Null("rank", 9.0, 13.0, "noise", is_lower=True), "Beyond its null: rank 9, against 13 in noise."),
        (Null("rank", 13.5, 13.0, "noise", is_lower=True), "Within its null: rank 13.5, against 13 in noise."),
        (Null("accuracy", np.nan, 0.5, "guessing"), "No null: accuracy was not measured."),
        (Null.absent("there is no control"), "No null: there is no control."),
    ],
)
def test_a_null_is_a_sentence_with_both_numbers_and_a_verdict(null: Null, sentence: str) -> None:
    assert str(null) == sentence
    assert null.is_beyond == sentence.startswith("Beyond")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0412, "number", "0.0412"), (1234.5, "number", "1,234"), (0.5, "share", "50 %"), (np.pi / 4, "radians", "45°")],
)
def test_numbers_are_told_in_three_digits(value: float, unit: str, text: str) -> None:
    assert in_words(value, unit) == text


def test_the_untrained_network_is_a_null_with_a_margin() -> None:
    assert not against_untrained("norm", runs(1.0, 1.4), value_of).is_beyond
    assert against_untrained("norm", runs(1.0, 1.6), value_of).is_beyond
    assert against_untrained("norm", runs(1.0, 1.6, 0.5), value_of, step=1).is_beyond
    assert against_untrained("norm", runs(1.0, 0.6), value_of, is_lower=True).is_beyond
    assert str(against_untrained("norm", runs(1.0, 9.0, first=5), value_of)) == (
        "No null: there is no checkpoint of step 0, the untrained network."
    )
    assert raised(0.5, 3.0) == 0.75


def test_a_view_finds_its_null_by_step_and_options() -> None:
    of = lambda x: Null("x", x, 0.0, "nothing")  # noqa: E731
    nulls = [
        of(1).of("ring", 0, layer=0),
        of(2).of("ring", 0, layer=1),
        of(3).of("ring", 50, layer=1),
        of(4).of("path"),
    ]
    nulls += [of(5).of("pair", components=(1, 2))]
    assert null_of(nulls, "ring", 0, {"layer": 0}).value == 1
    assert null_of(nulls, "ring", 0, {"layer": -1}).value == 2  # the last layer
    assert null_of(nulls, "ring", 70, {"layer": 1, "bins": 9}).value == 3  # the last step measured up to there
    assert null_of(nulls, "path", None, {}).value == 4
    assert null_of(nulls, "pair", None, {"components": (2, 1)}).value == 5
    assert "measures none" in str(null_of(nulls, "ring", 0, {"layer": 7}))


def test_a_function_becomes_a_view_that_is_handed_step_and_null() -> None:
    @view(question="What?", reading="So.", draw=print, null="other")
    def shares(artifact, context, step, null, *, layer: int = 0):  # type: ignore[no-untyped-def]
        return pd.DataFrame({"x": [artifact, step, null.value, layer]})

    assert (shares.leaf, shares.is_per_step, dict(shares.options)) == ("shares", True, {"layer": 0})
    table = shares.tabulate(7.0, None, [Null("x", 3.0, 0.0, "").of("other", 50)], 50, layer=2)
    assert isinstance(table, Table)
    assert table.data["x"].tolist() == [7, 50, 3, 2]
    assert table.null is not None and table.null.value == 3


def test_the_chosen_checkpoints_are_even_in_number_and_have_both_ends() -> None:
    steps = tuple(range(0, 1000, 10))
    assert sampled_steps(steps, {"checkpoints": 0}) == steps
    chosen = sampled_steps(steps, {"checkpoints": 5})
    assert chosen == (0, 250, 500, 740, 990)
    for n in (1, -3):
        with pytest.raises(MiscopeError, match=f"`checkpoints` = {n}; allowed: at least 2"):
            sampled_steps(steps, {"checkpoints": n})


def test_an_artifact_is_stacked_by_field_and_knows_its_last_step() -> None:
    artifact = runs(1.0, 2.0, 4.0)
    np.testing.assert_array_equal(artifact.stack("value"), [1, 2, 4])
    assert (artifact.last.value, artifact.last_by(7), artifact.last_by(1)) == (4.0, 2, 1)
    with pytest.raises(KeyError):
        artifact[9]
