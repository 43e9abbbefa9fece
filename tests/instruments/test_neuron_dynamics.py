"""Neurons whose history is written by hand."""

import numpy as np
from judging import assert_told_apart, over

from miscope.calibration.models import probe
from miscope.catalog import builtin
from miscope.instruments.neuron_dynamics.known import spectrum
from miscope.instruments.neuron_dynamics.measure import NeuronDynamics, neuron_dynamics

N_FREQ = 20  # three times the even share is 0.15
CONTEXT = probe(1, 2 * N_FREQ + 1)
STEPS = (0, 100, 250, 1000, 1100, 1200)


def followed(frequencies: list[list[int]], fractions: list[list[float]]) -> NeuronDynamics:
    """From one row per checkpoint and one column per neuron of a single layer."""
    rows = zip(STEPS, np.array(frequencies), np.array(fractions), strict=False)
    return neuron_dynamics(over({step: spectrum(k, f) for step, k, f in rows}), CONTEXT)


def test_a_neuron_commits_where_its_final_frequency_holds_above_three_even_shares() -> None:
    frequencies = [[5, 5, 5, 7], [9, 5, 5, 7], [5, 5, 5, 7], [5, 5, 5, 7]]
    fractions = [[0.2, 0.2, 0.1, 0.1], [0.2, 0.2, 0.9, 0.1], [0.2, 0.2, 0.1, 0.1], [0.2, 0.2, 0.2, 0.1]]
    np.testing.assert_array_equal(followed(frequencies, fractions).commitment_step, [[250, 0, 1000, np.nan]])


def test_switches_are_counted_between_checkpoints_where_the_neuron_is_tuned() -> None:
    frequencies = [[5, 5, 5, 0], [9, 9, 9, 0], [5, 5, 9, 0], [6, 5, 9, 3]]
    fractions = [[0.5, 0.5, 0.5, 0.0], [0.5, 0.1, 0.5, 0.0], [0.5, 0.5, 0.1, 0.0], [0.5, 0.5, 0.5, 0.8]]
    np.testing.assert_array_equal(followed(frequencies, fractions).n_switches, [[3, 0, 1, 0]])


def test_counts_and_concentration_take_specialised_neurons_alone() -> None:
    output = followed([[1, 1, 20, 20], [1, 1, 20, 2]], [[0.6, 0.5, 0.1, 0.0], [0.7, 0.8, 0.9, 0.69]])
    assert not output.neurons_per_frequency[0].any()
    assert np.isnan(output.concentration[0, 0])
    np.testing.assert_array_equal(output.neurons_per_frequency[1, 0, [0, 1, 19]], [2, 0, 1])
    np.testing.assert_allclose(output.concentration[1], [5 / 9])


def test_permuting_neurons_permutes_them_and_leaves_the_counts() -> None:
    rng, order = np.random.default_rng(0), [2, 0, 3, 1]
    frequencies, fractions = rng.integers(1, 21, size=(4, 4)), rng.random((4, 4))
    before = followed(frequencies.tolist(), fractions.tolist())
    after = followed(frequencies[:, order].tolist(), fractions[:, order].tolist())
    np.testing.assert_array_equal(after.commitment_step, before.commitment_step[:, order])
    np.testing.assert_array_equal(after.neurons_per_frequency, before.neurons_per_frequency)


def test_one_checkpoint_is_followed_without_switches_and_who_never_commits_keeps_the_share_below_one() -> None:
    output = followed([[5, 7]], [[0.9, 0.1]])
    np.testing.assert_array_equal(output.commitment_step, [[0, np.nan]])
    assert not output.n_switches.any() and not output.is_transient.any()
    thrice = followed([[5, 7]] * 3, [[0.9, 0.1]] * 3)
    assert builtin().view("neuron_dynamics.commitment").table(thrice, CONTEXT).data["committed"].max() == 0.5


Peaks = tuple[list[int], list[float]]


def drawn(seed: int) -> Peaks:
    """Peak frequencies and fractions of sixty random functions of a token."""
    energy = np.random.default_rng(seed).exponential(size=(60, N_FREQ))
    return (energy.argmax(axis=1) + 1).tolist(), (energy.max(axis=1) / energy.sum(axis=1)).tolist()


def tuned(*frequencies: int) -> Peaks:
    """Sixty neurons that share these."""
    return list(frequencies) * (60 // len(frequencies)), [0.9] * 60


def test_neurons_are_judged_by_random_functions_of_a_token() -> None:
    few, many, random = tuned(1, 2, 3), tuned(*range(1, N_FREQ + 1)), drawn(0)
    for view, beyond, *within in (
        *((view, (random, few), (few, random)) for view in ("overview", "commitment", "peaks")),
        ("concentration", (few,), (many,), (random,)),
        ("switches", (few, tuned(4, 5, 6)), (few, few), tuple(drawn(seed) for seed in range(6))),
    ):
        measured = [followed(*map(list, zip(*path, strict=True))) for path in (beyond, *within)]
        for other in measured[1:]:
            assert_told_apart(f"neuron_dynamics.{view}", measured[0], other, CONTEXT)
