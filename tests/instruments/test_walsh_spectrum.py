"""Characters planted in the logits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judging import judged, over

from miscope.core import Checkpoint, Context, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.families.parity import Parity
from miscope.families.sparse_parity import SparseParity
from miscope.instruments.walsh_spectrum.measure import WalshSpectrum, walsh_spectrum
from miscope.maths.spectra import bits

N = 5
TASK = Parity(n_bits=N)
CUBE = bits(np.arange(2**N), N)


def character(*numbers: int) -> np.ndarray:
    """chi_S for the bits of these numbers, counted from 1."""
    return (-1.0) ** CUBE[:, [i - 1 for i in numbers]].sum(axis=1)


def measured(margin: np.ndarray, context: Context | None = None) -> WalshSpectrum:
    logits = np.stack([3 - margin / 2, 3 + margin / 2], axis=1).astype(np.float32)
    return walsh_spectrum(Checkpoint(0, TASK.model(), {}, {"logits": logits}), context or TASK.context(0))


def test_two_characters_share_by_their_squares_and_are_named() -> None:
    output = measured(1 * character(2) + 3 * character(1, 2, 3, 4, 5))
    assert output.target == "x1 x2 x3 x4 x5"  # no relevant axes: the parity of all
    assert output.strongest[:2] == ("x1 x2 x3 x4 x5", "x2")
    assert output.coefficient[0b01000] == 1
    np.testing.assert_allclose(output.strongest_share[:3], [0.9, 0.1, 0], atol=1e-9)
    np.testing.assert_allclose(output.degree_share, [0, 0.1, 0, 0, 0, 0.9], atol=1e-9)
    np.testing.assert_allclose(output.chance_degree_share, np.array([1, 5, 10, 10, 5, 1]) / 32)
    assert output.chance_share == 1 / 32
    assert output.other_coefficient is None


def test_the_other_sets_of_the_targets_size_are_its_null() -> None:
    output = measured(2 * character(1, 2) + 3 * character(4, 5), replace(TASK.context(0), relevant_axes=(0, 1)))
    assert output.target_coefficient == 2
    assert output.other_coefficient == pytest.approx(3 / 3)  # nine other pairs, one of them with 3
    assert (output.target_rank, output.n_of_its_size) == (2, 10)


def test_a_network_that_answers_right_has_a_negative_coefficient_on_the_target() -> None:
    context = SparseParity(n_bits=N, n_relevant=3).context(1)
    output = measured(np.where(context.probe.targets == 1, 2.0, -2.0), context)
    assert (output.target_share, output.target_coefficient) == (1, -2)


def test_logits_that_are_equal_have_no_energy_to_share_and_a_constant_is_named_so() -> None:
    output = measured(np.zeros(2**N))
    assert output.energy == 0 and not output.degree_share.any()
    assert measured(np.full(2**N, 2.0)).strongest[0] == "constant"


def test_what_cannot_apply_says_why() -> None:
    for context in (ModuloAddition(7).context(0), SparseParity(n_bits=20).context(0)):
        with pytest.raises(NotApplicable, match="full cube of bits"):
            measured(np.zeros(2**N), context)
    checkpoint = Checkpoint(0, TASK.model(), {}, {"logits": np.zeros((2**N, 3), dtype=np.float32)})
    with pytest.raises(NotApplicable, match="two possible answers; this task has 3"):
        walsh_spectrum(checkpoint, TASK.context(0))


@pytest.mark.parametrize("view", ["overview", "coefficient", "degrees", "spectrum", "strongest", "rank"])
@pytest.mark.parametrize("task", [Parity(n_bits=8), SparseParity(n_bits=10, n_relevant=3)])
def test_a_parity_in_the_margin_is_beyond_and_noise_within(task: Any, view: str) -> None:
    context = task.context(0)
    noise = np.random.default_rng(3).normal(size=len(context.probe.targets))
    for margin, is_beyond in ((noise + np.where(context.probe.targets, 1, -1), True), (noise, False)):
        null = judged(f"walsh_spectrum.{view}", over({0: measured(margin, context)}), context)
        if (view, type(task)) != ("rank", Parity):  # the only set of its size
            assert null.is_measured and null.is_beyond == is_beyond
