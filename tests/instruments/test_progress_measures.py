"""Networks whose logits are known waves, and what they memorised."""

from dataclasses import replace

import calibration_model
import judging
import numpy as np
import pytest
from test_logit_spectra import P, context, wave

from miscope.calibration.models import shape, tracked
from miscope.core import Checkpoint, Context, MiscopeError
from miscope.instruments.logit_spectra.measure import logit_spectra
from miscope.instruments.losses.measure import losses
from miscope.instruments.progress_measures.measure import ProgressMeasures, instrument
from miscope.maths.statistics import answers

WAVES = 6 * wave(2) + 3 * wave(5)


def measured(*logits: np.ndarray, of: Context | None = None, keys: tuple[int, ...] = ()) -> ProgressMeasures:
    """Of checkpoints at steps 0, 100, 200, ..."""
    path = [Checkpoint(100 * i, shape(), {}, {"logits": one.astype(np.float32)}) for i, one in enumerate(logits)]
    return followed(path, of or context(), keys)


def followed(path: list[Checkpoint], of: Context, keys: tuple[int, ...] = ()) -> ProgressMeasures:
    needed = ({c.step: measure(c, of) for c in path} for measure in (logit_spectra, losses))
    seen = {c.step: replace(c, activations={"logits": c.activations["logits"][of.probe.is_train]}) for c in path}
    return tracked(instrument, seen, *needed, context=of, keys=keys)


def loss(logits: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
    return float(answers(logits[chosen], context().probe.targets[chosen]).loss.mean())


def test_keys_are_those_of_the_final_checkpoint_and_said_to_be() -> None:
    progress = measured(4 * wave(1), WAVES)
    np.testing.assert_allclose(progress.trig_loss[-1], loss(WAVES), rtol=1e-5)
    np.testing.assert_array_equal(progress.key_frequency, [2, 5])
    rule = "The key frequencies have at least 8.26 % of the logits' energy at the final checkpoint, step 100."
    assert progress.key_rule == rule
    np.testing.assert_allclose(progress.key_share, [0, 1], atol=1e-6)


def test_wrong_keys_leave_chance_when_kept_and_the_train_loss_when_excluded() -> None:
    progress = measured(WAVES, keys=(1, 3))
    np.testing.assert_allclose(progress.restricted_loss[:, 0], np.log(P), rtol=1e-5)
    np.testing.assert_allclose(progress.excluded_loss, progress.train_loss, rtol=1e-3)
    assert progress.key_rule == "The key frequencies are those of the settings."
    with pytest.raises(MiscopeError, match=r"`keys` = \[2, 6\]; allowed: frequencies from 1 to 5"):
        measured(WAVES, keys=(2, 6))


def test_a_circuit_is_seen_beside_answers_known_by_heart_that_hide_it() -> None:
    train = context().probe.is_train
    by_heart = 20 * np.eye(P)[context().probe.targets] * train[:, None]
    progress = measured(by_heart, by_heart + WAVES, WAVES)
    assert progress.train_loss[0] < 1e-6
    assert progress.restricted_loss[0, 0] > 1
    assert progress.restricted_loss[2, 1] < 1.5 * loss(WAVES, ~train)


def test_filtered_losses_are_those_of_the_filtered_logits() -> None:
    logits = (WAVES + np.random.default_rng(0).normal(size=(P * P, P))).astype(np.float32).astype(np.float64)
    probe, rows = context().probe, context().basis.matrix[[3, 4, 9, 10]]
    sums = np.stack([logits[probe.targets == s].mean(axis=0) for s in range(P)])
    kept = (rows.T @ rows @ sums)[probe.targets]
    progress = measured(logits, keys=(2, 5))
    restricted = kept + (logits - kept).mean(axis=0)
    expected = [loss(restricted), loss(restricted, probe.is_train), loss(restricted, ~probe.is_train)]
    np.testing.assert_allclose(progress.restricted_loss[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(progress.excluded_loss, loss(logits - kept, probe.is_train), rtol=1e-4)


def test_one_frequency_at_a_time_needs_no_keys() -> None:
    progress = measured(WAVES, keys=(5,))
    assert progress.single_frequency.tolist() == [2]
    np.testing.assert_allclose(progress.single_loss, loss(3 * wave(5), context().probe.is_train), rtol=1e-5)
    np.testing.assert_allclose(progress.other_loss, progress.single_loss)  # 2 is no key here
    np.testing.assert_allclose(measured(WAVES, keys=(2, 5)).other_loss, progress.train_loss, rtol=1e-3)
    np.testing.assert_allclose(progress.key_excluded_loss[0], loss(6 * wave(2), context().probe.is_train), rtol=1e-5)


def test_without_a_key_nothing_is_made_up() -> None:
    progress = measured(np.repeat(np.arange(P), P)[:, None] * np.arange(P) * 1.0)
    assert progress.key_frequency.size == 0 and progress.key_rule.startswith("No frequency has at least 8.26 %")
    assert np.isnan(progress.restricted_loss).all()
    assert np.isnan([progress.excluded_loss, progress.trig_loss, progress.key_share]).all()
    assert np.isfinite(progress.single_loss).all()


def test_without_test_inputs_that_split_is_absent() -> None:
    plain = context()
    progress = measured(WAVES, of=replace(plain, probe=replace(plain.probe, is_train=np.ones(P * P, dtype=bool))))
    assert np.isnan(progress.restricted_loss[2]).all() and np.isnan(progress.test_loss).all()
    assert np.isfinite(progress.restricted_loss[:2]).all()


REFERENCE = {  # step: restricted over all pairs, excluded on train, share of cosines
    200: (5.83, 0.0918, 0.0017), 1500: (4.52, 2.1e-5, 0.0058), 5000: (3.05, 1.4e-4, 0.017),
    10_000: (1.46, 0.072, 0.099), 13_000: (0.215, 4.39, 0.459), 15_000: (9.2e-4, 16.8, 0.777),
    16_900: (5.2e-7, 6.96, 0.926),
}  # fmt: skip


def test_the_reference_run_has_its_known_progress() -> None:
    progress = followed([calibration_model.checkpoint(step) for step in REFERENCE], calibration_model.context())
    np.testing.assert_array_equal(progress.key_frequency, [8, 19, 38, 41, 54])
    restricted, excluded, share = np.array(list(REFERENCE.values())).T
    np.testing.assert_allclose(progress.restricted_loss[0], restricted, rtol=1e-2)  # two digits are known
    np.testing.assert_allclose(progress.excluded_loss, excluded, rtol=2e-2)
    np.testing.assert_allclose(progress.trig_share, share, rtol=2e-2)


def test_wrong_keys_on_the_reference_run_show_nothing() -> None:
    run = [calibration_model.checkpoint(step) for step in (1500, 10_000, 16_900)]
    progress = followed(run, calibration_model.context(), (17, 25, 32, 47))
    assert (progress.restricted_loss[0] > 5).all()
    assert (progress.excluded_loss < 2.1 * progress.train_loss).all()


VIEWS = [f"progress_measures.{view}" for view in ("overview", "frequencies", "losses", "shares")]


def verdicts(progress: ProgressMeasures) -> set[str]:
    return {judging.judged(view, progress, context()).verdict for view in VIEWS}


def test_a_circuit_is_beyond_its_null_and_keys_that_the_network_does_not_use_are_within() -> None:
    assert verdicts(measured(WAVES)) == {"Beyond its null"}
    assert verdicts(measured(WAVES, keys=(1, 3))) == {"Within its null"}


def test_noise_has_no_keys_and_is_within_its_null() -> None:
    noise = [measured(np.random.default_rng(seed).normal(size=(P * P, P))) for seed in range(20)]
    assert not any(progress.key_frequency.size for progress in noise)
    assert verdicts(noise[0]) == {"Within its null"}
    assert judging.judged(VIEWS[0], noise[0], context()).statistic == "number of key frequencies"
