"""Phases of curves whose boundaries are known."""

from dataclasses import replace

import calibration_model
import judging
import numpy as np

from miscope.calibration.models import probe, tracked
from miscope.catalog import builtin
from miscope.instruments.losses.measure import losses
from miscope.instruments.phases import known
from miscope.instruments.phases.measure import NAMES, Phases, instrument
from miscope.instruments.singular_values.measure import singular_values

Curve = list[float] | list[None]

GROKKING_STEPS = [0, 100, 200, 1400, 2000, 4000, 8000, 9500, 11000, 12500, 20000]
GROKKING = (  # the calibration run in outline: the peak is 32, so the fall is at 28.8, the half at 16, the onset at 6.4
    [0.01, 0.4, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    [0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.05, 0.4, 0.999, 1.0, 1.0],
    [4.7, 7.7, 20.0, 32.0, 31.0, 28.0, 14.0, 6.0, 1e-3, 9e-7, 2e-7],
)


def classified(steps: list[int], *curves: Curve, w_in: list[float] | None = None, w_out: Curve | None = None) -> Phases:
    """By train accuracy, test accuracy and test loss, and the participation ratios of the MLP's matrices."""
    rows = zip(steps, *curves, strict=True)
    losses = {step: known.losses(*(None if x is None else float(x) for x in values)) for step, *values in rows}
    even = [1.0] * len(steps)
    spectra = {s: known.ratios(*pair, layer=1) for s, *pair in zip(steps, w_in or even, w_out or even, strict=True)}
    return tracked(instrument, losses, spectra, context=probe(1))


def segments(run: Phases) -> list[tuple[str, int, int]]:
    return list(zip(run.phase, run.phase_start.tolist(), run.phase_end.tolist(), strict=True))


def test_a_grokking_run_has_all_five_phases_and_says_why_it_is_done() -> None:
    run = classified(GROKKING_STEPS, *GROKKING)
    assert run.phase == NAMES
    assert run.phase_end.tolist() == [200, 4000, 9500, 12500, 20000]
    assert run.reasons == ("The test loss came down to 1e-06 nats at step 12,500.",)
    assert run.accuracy == 1.0


def test_a_run_stopped_in_the_plateau_has_no_later_events() -> None:
    run = classified(GROKKING_STEPS[:6], *(curve[:6] for curve in GROKKING))
    assert segments(run) == [("memorisation", 0, 200), ("plateau", 200, 4000)]
    assert run.onset_step is run.solved_step is run.grokked_step is None
    assert run.verdict == "continue"  # the test loss still falls


def test_a_run_that_never_groks_is_told_why_to_stop() -> None:
    steps, rising = [0, 100, 1000, 5000, 7500, 10_000], [4.7, 20.0, 40.0, 55.0, 60.0, 63.0]
    run = classified(steps, [0, 1, 1, 1, 1, 1], [0.0] * 6, rising)
    assert segments(run) == [("memorisation", 0, 100), ("plateau", 100, 10_000)]
    assert run.reasons[-1] == "The test loss no longer falls: 60 nats at step 7,500, 63 at the end."


def test_a_run_that_solves_at_once_has_no_plateau_and_no_peak() -> None:
    run = classified([0, 10, 20, 30, 40], [0, 0.5, 0.9, 1, 1], [0, 0.5, 0.9, 1, 1], [1.6, 1.0, 0.2, 1e-3, 1e-7])
    assert segments(run) == [("memorisation", 0, 10), ("circuit formation", 10, 20), ("cleanup", 20, 40)]
    assert run.test_peak_step is None
    assert (run.onset_step, run.grokked_step, run.verdict) == (20, 40, "done")


def test_a_run_that_learns_nothing_memorises_to_the_end_unless_its_loss_is_not_finite() -> None:
    run = classified([0, 10, 20], [0.2, 0.2, 0.3], [0.2, 0.2, 0.2], [1.6, 1.6, 1.6])
    assert segments(run) == [("memorisation", 0, 20)]
    assert (run.memorised_step, run.verdict) == (None, "continue")
    broken = classified([0, 10, 20], [0, 0, 0], [0, 0, 0], [1.6, float("nan"), float("nan")])
    assert (broken.verdict, broken.reasons) == ("stop", ("The loss is not finite at step 10.",))


def test_a_run_solved_without_the_last_digits_of_loss_is_done_when_the_loss_rests() -> None:
    curves: tuple[Curve, ...] = ([0, 1, 1, 1, 1], [0, 0.2, 1, 1, 1])
    resting = classified([0, 10, 20, 30, 40], *curves, [1.6, 3.0, 0.1, 0.01, 0.01])
    falling = classified([0, 10, 20, 30, 40], *curves, [1.6, 3.0, 0.1, 0.01, 0.001])
    assert (resting.grokked_step, resting.solved_step) == (None, 20)
    assert (resting.verdict, falling.verdict) == ("done", "continue")
    assert segments(resting)[-1] == ("after", 20, 40)


def test_a_passing_dip_of_the_test_loss_is_no_onset_and_accuracy_that_does_not_last_does_not_solve() -> None:
    run = classified([0, 10, 20, 30, 40], [0, 1, 1, 1, 1], [0.0] * 5, [1.6, 10.0, 1.0, 9.0, 9.5])
    assert run.onset_step is None
    assert segments(run) == [("memorisation", 0, 10), ("plateau", 10, 40)]
    assert classified([0, 10, 20, 30], [0, 1, 1, 1], [0, 1, 0.5, 1], [1.6, 0.1, 0.5, 0.1]).solved_step == 30


def test_without_test_inputs_the_events_of_testing_are_absent() -> None:
    nothing: list[None] = [None, None, None]
    run = classified([0, 10, 20], [0, 1, 1], nothing, nothing)
    assert segments(run) == [("memorisation", 0, 10), ("after", 10, 20)]
    assert run.test_peak_step is run.onset_step is run.solved_step is run.grokked_step is None
    assert run.verdict == "done" and "no test inputs" in run.reasons[0]


def test_without_known_training_inputs_there_is_no_memorisation() -> None:
    run = classified([0, 10, 20], [None, None, None], [0, 0.5, 1], [1.6, 1.0, 0.1])
    assert run.memorised_step is None
    assert segments(run) == [("plateau", 0, 10), ("circuit formation", 10, 20)]


def test_one_checkpoint_has_the_one_phase_that_it_can_be_told_to_be_in() -> None:
    for name, *curves in (("memorisation", 0.1, 0.1, 1.6), ("plateau", 1, 0.1, 30), ("after", 1, 1, 1e-7)):
        assert segments(classified([70], *([value] for value in curves))) == [(name, 70, 70)]


def test_a_spike_after_grokking_does_not_undo_the_phases() -> None:
    ends = zip(GROKKING, (0.01, 0.01, 31.0), strict=True)
    run = classified([*GROKKING_STEPS, 25_000], *([*curve, end] for curve, end in ends))
    assert (run.onset_step, run.grokked_step, run.solved_step) == (9500, 12_500, None)
    assert segments(run)[-1] == ("after", 12_500, 25_000)


def test_the_crossover_is_where_the_difference_of_ratios_takes_the_sign_it_keeps() -> None:
    flat, steps = ([0.0] * 4, [0.0] * 4, [1.6] * 4), [0, 10, 20, 30]
    for w_out, expected in (([9.0, 4, 6, 4], 30), ([9.0, 4, 3, 4], 10), ([9.0, 8, 7, 6], None)):
        assert classified(steps, *flat, w_in=[5.0] * 4, w_out=w_out).crossover_step == expected
    none = replace(known.ratios(1.0, 1.0), matrix=("embed.W_E", "unembed.W_U"))
    curves = dict.fromkeys((0, 5), known.losses(0.1, 0.1, 1.6))
    assert tracked(instrument, curves, dict.fromkeys((0, 5), none), context=probe(1)).crossover_step is None


def test_any_curves_give_phases_in_order_and_without_gaps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps = np.sort(rng.choice(1000, size=rng.integers(1, 12), replace=False)).tolist()
        n = len(steps)
        loss = np.exp(rng.normal(scale=6, size=n)).tolist()
        run = classified(steps, rng.choice([0.5, 1], n).tolist(), rng.choice([0.5, 1], n).tolist(), loss)
        order = [NAMES.index(name) for name in run.phase]
        assert order == sorted(set(order))
        assert (run.phase_start[0], run.phase_end[-1]) == (steps[0], steps[-1])
        np.testing.assert_array_equal(run.phase_start[1:], run.phase_end[:-1])


def test_the_reference_run_goes_through_its_phases() -> None:
    checkpoints = {step: calibration_model.checkpoint(step) for step in (200, 1500, 10_000, 15_000, 16_900)}
    context = calibration_model.context()
    needed = ({step: of(c, context) for step, c in checkpoints.items()} for of in (losses, singular_values))
    run = tracked(instrument, *needed, context=context)
    assert run.phase == ("plateau", "circuit formation", "cleanup")
    assert (run.test_peak_step, run.onset_step, run.solved_step) == (1500, 15_000, 16_900)
    assert run.verdict == "continue"  # the test loss is at 6e-6 nats, and falls


def test_events_are_drawn_in_their_order_and_one_that_did_not_happen_is_not() -> None:
    run = classified(GROKKING_STEPS[:9], *(curve[:9] for curve in GROKKING))
    rows = builtin().view("phases.overview").tabulate(run, judging.CONTEXT).data
    assert list(rows.loc[rows["kind"] == "event", "name"]) == ["memorised", "test loss peaks", "onset", "solved"]


def test_phases_are_judged_by_the_accuracy_that_they_end_with() -> None:
    runs = (classified([0, 10], [0.0, 1.0], [0.0, accuracy], [2.6, 1.0]) for accuracy in (0.9, 0.1))
    judging.assert_told_apart("phases.overview", *runs)
