"""Activations whose sample is known."""

import numpy as np
import pytest

from miscope.analyzers.representations import MOST, Representations, representations
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, Probe
from miscope.maths.spectra import Basis

MODEL = ModelConfig(n_layers=1, d_model=3, n_heads=1, d_head=3, d_mlp=5, n_ctx=1, d_vocab=4, d_vocab_out=4)


def measured(n: int, size: float = 1, **settings: int) -> tuple[Representations, dict[str, np.ndarray]]:
    probe = Probe(np.zeros((n, 1), dtype=np.int64), np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool))
    rng = np.random.default_rng(0)
    shapes = {"blocks.0.mlp.hook_post": 5, "blocks.0.hook_resid_post": 3}
    values = {name: (size * rng.normal(size=(n, width))).astype(np.float32) for name, width in shapes.items()}
    context = Context(probe=probe, answer_position=0, basis=Basis("fourier", 4))
    return representations(Checkpoint(0, MODEL, {}, values), context, **settings), values


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_activations_of_any_size_come_back_to_a_thousandth_of_their_range(size: float) -> None:
    found, values = measured(40, size)
    assert found.chosen.tolist() == list(range(40))
    assert found.width.tolist() == [5, 3]
    exact = np.concatenate(list(values.values()), axis=1)
    assert (np.abs(found.value - exact) <= np.ptp(exact, axis=0) / 2 / 1023 * 1.001).all()


def test_the_sample_depends_on_the_seed_alone_and_is_never_larger_than_the_setting() -> None:
    found, again, other = measured(2000)[0], measured(2000, 7.0)[0], measured(2000, seed=1)[0]
    assert len(np.unique(found.chosen)) == 256
    np.testing.assert_array_equal(found.chosen, again.chosen)
    assert not np.array_equal(found.chosen, other.chosen)
    few, values = measured(2000, n_inputs=10)
    np.testing.assert_allclose(few.value[:, 5:], values["blocks.0.hook_resid_post"][few.chosen], atol=4e-3)
    assert len(measured(2000, n_inputs=MOST)[0].chosen) == MOST


def test_a_site_that_never_varies_is_exact_and_takes_no_room() -> None:
    probe = Probe(np.zeros((6, 1), dtype=np.int64), np.zeros(6, dtype=np.int64), np.ones(6, dtype=bool))
    context = Context(probe=probe, answer_position=0, basis=Basis("fourier", 4))
    found = representations(Checkpoint(0, MODEL, {}, {"blocks.0.hook_resid_post": np.full((6, 3), 0.1, "f4")}), context)
    np.testing.assert_array_equal(found.value, np.full((6, 3), 0.1, "f4"))
    assert not len(found.code)


@pytest.mark.parametrize("n_inputs", [3, 513])
def test_a_sample_out_of_range_is_refused(n_inputs: int) -> None:
    with pytest.raises(MiscopeError, match=f"`n_inputs` = {n_inputs}; allowed: 4 to 512"):
        measured(10, n_inputs=n_inputs)
