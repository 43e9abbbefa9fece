"""Networks whose logits are known waves, and what they memorised."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from miscope.analyzers.losses import losses
from test_logit_spectra import MODEL, P, context, wave

from miscope.analyzers.logit_spectra import logit_spectra
from miscope.core import Checkpoint, Context, MiscopeError
from miscope.instrument import Artifact
from miscope.maths.statistics import answers
from miscope.trackers.progress_measures import ProgressMeasures, progress_measures

WAVES = 6 * wave(2) + 3 * wave(5)
MEMORISED = 20 * np.eye(P)[context().probe.targets] * context().probe.is_train[:, None]


def measured(*logits: np.ndarray, of: Context | None = None, keys: tuple[int, ...] = ()) -> ProgressMeasures:
    """Of checkpoints at steps 0, 100, 200, ..."""
    of = of or context()
    path = [Checkpoint(100 * i, MODEL, {}, {"logits": one.astype(np.float32)}) for i, one in enumerate(logits)]
    return tracked(path, of, keys)


def tracked(path: list[Checkpoint], of: Context, keys: tuple[int, ...] = ()) -> ProgressMeasures:
    spectra = {c.step: logit_spectra(c, of) for c in path}
    curves = {c.step: losses(c, of) for c in path}
    seen = {c.step: replace(c, activations={"logits": c.activations["logits"][of.probe.is_train]}) for c in path}
    artifacts = (Artifact(tuple(d), d.__getitem__) for d in (seen, spectra, curves))
    return progress_measures(*artifacts, of, keys=keys)


def loss(logits: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
    return float(answers(logits[chosen], context().probe.targets[chosen]).loss.mean())


def test_keys_are_those_of_the_final_checkpoint_and_said_to_be() -> None:
    found = measured(4 * wave(1), WAVES)
    np.testing.assert_array_equal(found.key_frequency, [2, 5])
    assert (
        found.key_rule
        == "The key frequencies have at least 8.26 % of the logits' energy at the final checkpoint, step 100."
    )
    np.testing.assert_allclose(found.key_share, [0, 1], atol=1e-6)


def test_a_pure_circuit_is_wholly_kept_and_nothing_is_left_without_it() -> None:
    found = measured(WAVES)
    np.testing.assert_allclose(found.restricted_loss[0], loss(WAVES), rtol=1e-5)
    np.testing.assert_allclose(found.trig_loss, loss(WAVES), rtol=1e-5)
    np.testing.assert_allclose(found.excluded_loss, np.log(P), rtol=1e-4)


def test_wrong_keys_leave_chance_when_kept_and_the_train_loss_when_excluded() -> None:
    found = measured(WAVES, keys=(1, 3))
    np.testing.assert_allclose(found.restricted_loss[:, 0], np.log(P), rtol=1e-5)
    np.testing.assert_allclose(found.excluded_loss, found.train_loss, rtol=1e-3)
    assert found.key_rule == "The key frequencies are those of the settings."


def test_memorising_is_not_told_from_the_train_loss_and_a_circuit_beside_it_is() -> None:
    found = measured(MEMORISED, MEMORISED + WAVES, WAVES)
    train = context().probe.is_train
    assert found.train_loss[0] < 1e-6
    assert found.excluded_loss[0] < 0.01
    assert found.restricted_loss[0, 0] > 1
    assert found.restricted_loss[2, 1] < 1.5 * loss(WAVES, ~train)
    assert found.excluded_loss[2] > 1000 * found.excluded_loss[0]


def test_filtered_losses_are_those_of_the_filtered_logits() -> None:
    logits = (WAVES + np.random.default_rng(0).normal(size=(P * P, P))).astype(np.float32).astype(np.float64)
    probe, rows = context().probe, context().basis.matrix[[3, 4, 9, 10]]
    sums = np.stack([logits[probe.targets == s].mean(axis=0) for s in range(P)])
    kept = (rows.T @ rows @ sums)[probe.targets]
    found = measured(logits, keys=(2, 5))
    restricted = kept + (logits - kept).mean(axis=0)
    expected = [loss(restricted), loss(restricted, probe.is_train), loss(restricted, ~probe.is_train)]
    np.testing.assert_allclose(found.restricted_loss[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found.excluded_loss, loss(logits - kept, probe.is_train), rtol=1e-4)


def test_one_frequency_at_a_time_needs_no_keys() -> None:
    found = measured(WAVES, keys=(5,))
    assert found.single_frequency.tolist() == [2]
    np.testing.assert_allclose(found.single_loss, loss(3 * wave(5), context().probe.is_train), rtol=1e-5)
    np.testing.assert_allclose(found.other_loss, found.single_loss)  # 2 is no key here
    np.testing.assert_allclose(measured(WAVES, keys=(2, 5)).other_loss, found.train_loss, rtol=1e-3)
    np.testing.assert_allclose(found.key_excluded_loss[0], loss(6 * wave(2), context().probe.is_train), rtol=1e-5)


def test_without_a_key_nothing_is_made_up() -> None:
    found = measured(np.repeat(np.arange(P), P)[:, None] * np.arange(P) * 1.0)
    assert found.key_frequency.size == 0
    assert found.key_rule.startswith("No frequency has at least 8.26 %")
    assert np.isnan(found.restricted_loss).all()
    assert np.isnan([found.excluded_loss, found.trig_loss, found.key_share]).all()
    assert np.isfinite(found.single_loss).all()


def test_without_test_inputs_that_split_is_absent() -> None:
    plain = context()
    found = measured(WAVES, of=replace(plain, probe=replace(plain.probe, is_train=np.ones(P * P, dtype=bool))))
    assert np.isnan(found.restricted_loss[2]).all()
    assert np.isnan(found.test_loss).all()
    assert np.isfinite(found.restricted_loss[:2]).all()


def test_a_key_that_is_no_frequency_is_refused() -> None:
    with pytest.raises(MiscopeError, match=r"`keys` = \[2, 6\]; allowed: frequencies from 1 to 5"):
        measured(WAVES, keys=(2, 6))


REFERENCE = {  # step: restricted over all pairs, excluded on train, share of cosines
    200: (5.83, 0.0918, 0.0017), 1500: (4.52, 2.1e-5, 0.0058), 5000: (3.05, 1.4e-4, 0.017),
    10_000: (1.46, 0.072, 0.099), 13_000: (0.215, 4.39, 0.459), 15_000: (9.2e-4, 16.8, 0.777),
    16_900: (5.2e-7, 6.96, 0.926),
}  # fmt: skip


def test_the_reference_run_has_its_known_progress() -> None:
    found = tracked([calibration_model.checkpoint(step) for step in REFERENCE], calibration_model.context())
    np.testing.assert_array_equal(found.key_frequency, [8, 19, 38, 41, 54])
    restricted, excluded, share = np.array(list(REFERENCE.values())).T
    np.testing.assert_allclose(found.restricted_loss[0], restricted, rtol=1e-2)  # two digits are known
    np.testing.assert_allclose(found.excluded_loss, excluded, rtol=2e-2)
    np.testing.assert_allclose(found.trig_share, share, rtol=2e-2)


def test_wrong_keys_on_the_reference_run_show_nothing() -> None:
    found = tracked(
        [calibration_model.checkpoint(s) for s in (1500, 10_000, 16_900)], calibration_model.context(), (17, 25, 32, 47)
    )
    assert (found.restricted_loss[0] > 5).all()
    assert (found.excluded_loss < 2.1 * found.train_loss).all()


def test_noise_has_no_keys() -> None:
    assert not any(measured(np.random.default_rng(s).normal(size=(P * P, P))).key_frequency.size for s in range(20))
