"""Representations that rest, turn and are replaced at known checkpoints."""

import numpy as np
import pytest

from miscope.analyzers.representations import BITS, Representations
from miscope.core import Context, NotApplicable, Probe
from miscope.instrument import Artifact
from miscope.maths.codes import coded
from miscope.maths.spectra import Basis
from miscope.trackers.representation_similarity import RepresentationSimilarity, representation_similarity

PROBE = Probe(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", 4))
N, DIM = 80, 30


def tracked(*values: np.ndarray) -> RepresentationSimilarity:
    """Of checkpoints at steps 0, 10, ...; a site that never varies comes first."""
    sites = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post")
    outputs = {
        10 * i: Representations(
            sites,
            np.array([2, x.shape[1]]),
            np.arange(len(x)),
            *coded(np.concatenate([np.ones((len(x), 2)), x], axis=1).astype(np.float32), BITS),
        )
        for i, x in enumerate(values)
    }
    return representation_similarity(Artifact(tuple(outputs), outputs.__getitem__), CONTEXT)


def test_a_representation_that_turns_rests_and_one_that_is_replaced_leaves_a_block() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, N, DIM))
    turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    found = tracked(before, 2 * before @ turn, after, after @ turn)
    assert found.steps.tolist() == [0, 10, 20, 30]
    expected = np.kron(np.eye(2), np.ones((2, 2)))
    np.testing.assert_allclose(found.debiased_cka[1], expected, atol=0.05)
    np.testing.assert_allclose(found.cka[1][expected == 1], 1, atol=1e-3)
    np.testing.assert_allclose(found.cka[1][expected == 0], found.gaussian_cka[1], atol=0.04)
    np.testing.assert_allclose(found.chance_cka[1][expected == 0], found.gaussian_cka[1], atol=0.02)
    assert found.gaussian_cka.tolist() == pytest.approx([2 / 82, 30 / 110])
    assert found.n_inputs == N
    assert found.turn[1][[0, 2]].max() < 2
    assert found.turn[1, 1] == pytest.approx(90, abs=3)


def test_a_site_that_is_the_same_for_all_inputs_has_no_similarity() -> None:
    found = tracked(*np.random.default_rng(1).normal(size=(3, N, DIM)))
    for values in (found.cka, found.debiased_cka, found.turn, found.dimension, found.chance_cka):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


def test_three_inputs_are_too_few() -> None:
    with pytest.raises(NotApplicable, match="The probe has 3 inputs"):
        tracked(*np.random.default_rng(2).normal(size=(2, 3, DIM)))
