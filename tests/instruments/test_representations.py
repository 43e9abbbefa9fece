"""Activations whose sample is known."""

import numpy as np
import pytest
from judging import CONTEXT, P, judged, path

from miscope.calibration.models import on_planted, probe, shape
from miscope.core import Checkpoint, Context, MiscopeError
from miscope.instruments.representations.measure import MOST, Representations, instrument, representations

POST = "blocks.0.hook_resid_post"


def measured(n: int, size: float = 1, **settings: int) -> tuple[Representations, np.ndarray]:
    """Of n inputs, at a site of five dimensions and at one of three."""
    values = (size * np.random.default_rng(0).normal(size=(n, 8))).astype(np.float32)
    activations = {"blocks.0.mlp.hook_post": values[:, :5], POST: values[:, 5:]}
    return representations(Checkpoint(0, shape(), {}, activations), probe(n), **settings), values


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_activations_of_any_size_come_back_to_a_thousandth_of_their_range(size: float) -> None:
    seen, exact = measured(40, size)
    assert seen.chosen.tolist() == list(range(40))
    assert seen.width.tolist() == [5, 3]
    assert (np.abs(seen.value - exact) <= np.ptp(exact, axis=0) / 2 / 1023 * 1.001).all()


def test_the_sample_depends_on_the_seed_alone_and_is_never_larger_than_the_setting() -> None:
    seen, again, other = measured(2000)[0], measured(2000, 7.0)[0], measured(2000, seed=1)[0]
    assert len(np.unique(seen.chosen)) == 256
    np.testing.assert_array_equal(seen.chosen, again.chosen)
    assert not np.array_equal(seen.chosen, other.chosen)
    few, values = measured(2000, n_inputs=10)
    np.testing.assert_allclose(few.value, values[few.chosen], atol=4e-3)
    assert len(measured(2000, n_inputs=MOST)[0].chosen) == MOST
    for n_inputs in (3, 513):
        with pytest.raises(MiscopeError, match=f"`n_inputs` = {n_inputs}; allowed: 4 to 512"):
            measured(10, n_inputs=n_inputs)


def test_a_site_that_never_varies_is_exact_and_takes_no_room() -> None:
    same = np.full((6, 3), 0.1, "f4")
    seen = on_planted(instrument, shape(), probe(6), hook_resid_post=same)
    np.testing.assert_array_equal(seen.value, same)
    assert not len(seen.code)


ANSWERS = CONTEXT.probe.targets
NOISE = np.random.default_rng(0).normal(size=(len(ANSWERS), 40))
WAVES = np.pad(np.cos(2 * np.pi * np.outer(ANSWERS, [2, 5]) / P), ((0, 0), (0, 38)))


def verdict(*values: np.ndarray, first: int = 0, context: Context = CONTEXT) -> str:
    seen = (on_planted(instrument, shape(), context, hook_resid_post=x) for x in values)
    return judged("representations", path(*seen, first=first), context).verdict


def test_inputs_of_one_answer_that_come_together_are_beyond_shuffled_answers_and_the_untrained_network() -> None:
    together, as_before = NOISE + 4 * WAVES, NOISE + 4.4 * WAVES
    assert verdict(NOISE, together) == "Beyond its null"
    assert verdict(NOISE, NOISE[::-1]) == "Within its null"
    assert verdict(together, as_before) == "Within its null"
    assert verdict(together, as_before, first=500) == "Beyond its null"
    assert verdict(NOISE, together, context=probe(len(ANSWERS))) == "No null"  # all have one right answer
