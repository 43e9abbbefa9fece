"""Whether views say the truth about chance: of a network that learned nothing, none may say more than that."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import controls
import numpy as np
import pytest
from synthetic import table_of

from miscope import api, catalog
from miscope.core import NotApplicable
from miscope.instrument import Artifact, Output
from miscope.views.shared import nulls

KINDS = (nulls.BEYOND, nulls.WITHIN, nulls.NONE)


@dataclass(frozen=True)
class Measured(Output):
    value: float


def runs(*values: float, first: int = 0) -> Artifact[Measured]:
    return Artifact(tuple(range(first, first + len(values))), lambda step: Measured(values[step - first]))


def test_a_number_above_its_null_is_beyond_it():
    said = nulls.against("largest share", 0.312, 0.041, "99 % of random embeddings", text=nulls.percent)
    assert said == "Beyond its null: largest share 31.2 %, against 4.1 % in 99 % of random embeddings."


def test_a_number_at_its_null_is_within_it_and_less_may_be_what_counts():
    assert nulls.against("accuracy", 0.5, 0.5, "guessing").startswith(nulls.WITHIN)
    assert nulls.against("directions", 9.0, 13.0, "random matrices", is_lower=True).startswith(nulls.BEYOND)
    assert nulls.against("directions", 13.5, 13.0, "random matrices", is_lower=True).startswith(nulls.WITHIN)


def test_what_was_not_measured_has_no_verdict():
    assert nulls.against("accuracy", np.nan, 0.5, "guessing") == "No null: accuracy was not measured."


def test_the_untrained_network_is_a_null_with_a_margin():
    value = lambda output: output.value  # noqa: E731
    assert nulls.against_untrained("norm", runs(1.0, 1.4), value).startswith(nulls.WITHIN)
    assert nulls.against_untrained("norm", runs(1.0, 1.6), value).startswith(nulls.BEYOND)
    assert nulls.against_untrained("norm", runs(1.0, 1.6, 0.5), value, step=1).startswith(nulls.BEYOND)
    assert nulls.against_untrained("norm", runs(1.0, 0.6), value, is_lower=True).startswith(nulls.BEYOND)


def test_without_an_untrained_network_there_is_no_verdict():
    said = nulls.against_untrained("norm", runs(1.0, 9.0, first=5), lambda output: output.value)
    assert said == "No null: there is no checkpoint of step 0, the untrained network."


@pytest.mark.parametrize("name", catalog.views())
def test_every_view_says_in_words_whether_it_is_beyond_its_null(name, sources, context):
    said = table_of(catalog.view(name), sources, context).attrs["null"]
    assert said.partition(":")[0] in KINDS
    assert said.endswith(".") and "nan" not in said.split() and 30 < len(said) <= 180


# ---------------------------------------------------------------- networks whose verdicts are known


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return controls.written(tmp_path_factory.mktemp("controls") / "workspace")


def verdicts(root: Path, variant: str, view: str) -> Iterator[str]:
    """What the view says of the variant; one of a single step says it of each step."""
    loaded = api.load_variant(variant, root)
    is_per_step = catalog.view(view).is_per_step
    try:
        steps = tuple(loaded.artifact(catalog.view(view).needs.name)) if is_per_step else (None,)
        for step in steps:
            bound = loaded.view(view) if step is None else loaded.at(step).view(view)
            yield bound.table().attrs["null"]
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("view", catalog.views())
@pytest.mark.parametrize("variant", controls.NOTHING)
def test_a_network_that_learned_nothing_is_within_every_null(known, variant, view):
    said = list(verdicts(known, variant, view))
    assert said
    assert [sentence for sentence in said if sentence.startswith(nulls.BEYOND)] == []


# what was built in by hand: waves, tuned neurons and few directions here, heads that look and copy there
BUILT_IN = {
    "solved": (
        *("losses.overview", "losses.accuracy", "losses.margins", "logit_lens.overview", "phases.overview"),
        *("dominant_frequencies.overview", "dominant_frequencies.sparsity", "dominant_frequencies.unembedding"),
        *("neuron_spectra.overview", "neuron_spectra.clusters", "neuron_fourier.alignment", "neuron_dynamics.overview"),
        *("logit_spectra.overview", "logit_spectra.excluded", "progress_measures.overview", "circuit_style.overview"),
        *("representation_geometry.overview", "representation_geometry.ring", "representations.overview"),
        *("singular_values.overview", "singular_values.effective_rank", "parameter_trajectory.overview"),
    ),
    "solved_induction": (
        *("losses.overview", "logit_difference.overview", "logit_lens.attribution", "loss_by_position.positions"),
        *("head_scores.overview", "head_scores.copying", "head_scores.offsets", "composition_scores.overview"),
        *("attention_patterns.overview", "linear_probes.latents", "representation_geometry.separation"),
        *("singular_values.overview", "parameter_trajectory.overview"),
    ),
}
NOT_BUILT_IN = {
    "solved": ("attention_patterns.overview", "head_scores.overview", "attention_spectra.overview"),  # attends evenly
    "solved_induction": ("dominant_frequencies.overview", "representation_geometry.ring"),  # tokens have no order
}


@pytest.mark.parametrize("variant,view", [(name, view) for name, views in BUILT_IN.items() for view in views])
def test_what_was_built_in_by_hand_is_beyond_its_null(known, variant, view):
    assert list(verdicts(known, variant, view))[-1].startswith(nulls.BEYOND)


@pytest.mark.parametrize("variant,view", [(name, view) for name, views in NOT_BUILT_IN.items() for view in views])
def test_what_a_solution_does_not_use_is_within_its_null(known, variant, view):
    assert list(verdicts(known, variant, view))[-1].startswith(nulls.WITHIN)
