"""Characters planted in the logits."""

from dataclasses import replace

import numpy as np
import pytest

from miscope.analyzers.walsh_spectrum import WalshSpectrum, walsh_spectrum
from miscope.core import Checkpoint, Context, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.families.parity import Parity
from miscope.families.sparse_parity import SparseParity
from miscope.maths.walsh import bits

N = 5
TASK = Parity(n_bits=N)
CUBE = bits(np.arange(2**N), N)


def character(*numbers: int) -> np.ndarray:
    """chi_S for the bits of these numbers, counted from 1."""
    return (-1.0) ** CUBE[:, [i - 1 for i in numbers]].sum(axis=1)


def measured(margin: np.ndarray, context: Context | None = None) -> WalshSpectrum:
    logits = np.stack([3 - margin / 2, 3 + margin / 2], axis=1).astype(np.float32)
    return walsh_spectrum(Checkpoint(0, TASK.model(), {}, {"logits": logits}), context or TASK.context(0))


def test_a_planted_character_holds_all_the_energy() -> None:
    found = measured(-4 * character(1, 4), replace(TASK.context(0), relevant_axes=(0, 3)))
    assert (found.target, found.target_share, found.energy) == ("x1 x4", 1, 16)
    assert found.strongest[0] == "x1 x4"
    assert (found.target_coefficient, found.other_coefficient, found.target_rank) == (-4, 0, 1)
    assert found.coefficient[0b10010] == -4
    np.testing.assert_allclose(found.degree_share, [0, 0, 1, 0, 0, 0])


def test_two_characters_share_by_their_squares() -> None:
    found = measured(1 * character(2) + 3 * character(1, 2, 3, 4, 5))
    assert found.strongest[:2] == ("x1 x2 x3 x4 x5", "x2")
    np.testing.assert_allclose(found.strongest_share[:3], [0.9, 0.1, 0], atol=1e-9)
    np.testing.assert_allclose(found.degree_share, [0, 0.1, 0, 0, 0, 0.9], atol=1e-9)
    assert found.target_share == pytest.approx(0.9)  # no relevant axes: the parity of all
    assert found.other_coefficient is None


def test_the_other_sets_of_the_targets_size_are_its_null() -> None:
    found = measured(2 * character(1, 2) + 3 * character(4, 5), replace(TASK.context(0), relevant_axes=(0, 1)))
    assert found.target_coefficient == 2
    assert found.other_coefficient == pytest.approx(3 / 3)  # nine other pairs, one of them with 3
    assert (found.target_rank, found.n_of_its_size) == (2, 10)


def test_a_random_margin_keeps_parseval_and_is_near_chance() -> None:
    margin = np.random.default_rng(0).normal(size=2**N)
    found = measured(margin)
    assert found.energy == pytest.approx((margin**2).mean(), rel=1e-5)
    assert (found.coefficient.astype(np.float64) ** 2).sum() == pytest.approx(found.energy, rel=1e-5)
    assert found.degree_share.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.chance_degree_share, np.array([1, 5, 10, 10, 5, 1]) / 32)
    assert found.chance_share == 1 / 32


def test_a_network_that_answers_right_has_a_negative_coefficient_on_the_target() -> None:
    context = SparseParity(n_bits=N, n_relevant=3).context(1)
    found = measured(np.where(context.probe.targets == 1, 2.0, -2.0), context)
    assert found.target_share == 1
    assert found.target_coefficient == -2


def test_logits_that_are_equal_have_no_energy_to_share() -> None:
    found = measured(np.zeros(2**N))
    assert found.energy == 0
    assert not found.degree_share.any()


def test_a_constant_is_named_so() -> None:
    assert measured(np.full(2**N, 2.0)).strongest[0] == "constant"


def test_a_probe_that_is_no_cube_has_no_walsh_spectrum() -> None:
    for context in (ModuloAddition(7).context(0), SparseParity(n_bits=20).context(0)):
        with pytest.raises(NotApplicable, match="full cube of bits"):
            measured(np.zeros(2**N), context)


def test_more_than_two_answers_have_no_margin() -> None:
    checkpoint = Checkpoint(0, TASK.model(), {}, {"logits": np.zeros((2**N, 3), dtype=np.float32)})
    with pytest.raises(NotApplicable, match="two possible answers; this task has 3"):
        walsh_spectrum(checkpoint, TASK.context(0))
