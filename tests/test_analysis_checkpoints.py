"""Instruments that look at some checkpoints only, and trackers that read weights and Outputs together."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from miscope.analysis import Summary, artifact, bring_up_to_date
from miscope.trackers.progress_measures import ProgressMeasures

from miscope import catalog
from miscope.core import Context, MiscopeError
from miscope.instrument import Artifact, Output, OverTraining, PerCheckpoint
from miscope.maths.statistics import answers
from miscope.model.inspection import activations
from miscope.training.loop import train
from miscope.workspace import analysis, configuration, files, status, store
from miscope.workspace.files import Folder
from miscope.workspace.status import status

STEPS = (0, 20, 40)
PARAMS = """\
variants:
  small:
    family: modulo_addition
    modulus: 7
    train_fraction: 0.5
    seed: 1
    steps: 40
    eval_every: 20
    checkpoints: [20]
    model: {d_model: 8, n_heads: 2, d_head: 4, d_mlp: 16}
instruments:
  loss_landscape: {checkpoints: 12, directions: 2, trace_vectors: 2}
"""
RERUN = "Run `dvc repro report@small`."


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("measured")
    (root / "params.yaml").write_text(PARAMS)
    train(configuration.load(root).variant("small"), files.folder_of(root, "small"))
    analysis.write_probe(root, "small")
    for name in ("losses", "loss_landscape"):
        bring_up_to_date(root, "small", name)
    return root


@pytest.fixture
def root(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "root"))


@pytest.fixture
def folder(root: Path) -> Folder:
    return files.folder_of(root, "small")


def change(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert old in text
    (root / "params.yaml").write_text(text.replace(old, new, 1))


def contents(folder: Folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.instrument("loss_landscape").iterdir()}


@pytest.mark.parametrize(("checkpoints", "steps"), [(0, STEPS), (2, (0, 40)), (3, STEPS), (12, STEPS)])
def test_an_expensive_instrument_looks_at_as_many_checkpoints_as_its_setting_says(
    checkpoints: int, steps: tuple[int, ...], root: Path, folder: Folder
) -> None:
    change(root, "checkpoints: 12", f"checkpoints: {checkpoints}")
    found = bring_up_to_date(root, "small", "loss_landscape")
    assert found == Summary(0, len(steps), 3 - len(steps))  # what was measured stays as it lies
    assert folder.output_steps("loss_landscape") == steps
    assert status(root, "small", "loss_landscape").state == "fresh"
    opened = artifact(root, "small", "loss_landscape")
    assert isinstance(opened, Artifact)
    assert opened.steps == steps
    assert [opened.last_by(step) for step in (0, 20, 39, 40)] == [
        max(s for s in steps if s <= x) for x in (0, 20, 39, 40)
    ]


def test_more_checkpoints_than_were_looked_at_are_a_gap_that_is_filled(root: Path, folder: Folder) -> None:
    before = contents(folder)
    change(root, "checkpoints: 12", "checkpoints: 2")
    bring_up_to_date(root, "small", "loss_landscape")
    change(root, "checkpoints: 2", "checkpoints: 0")
    assert (
        status(root, "small", "loss_landscape").sentence
        == f"`loss_landscape` of `small` lacks 1 of 3 checkpoints. {RERUN}"
    )
    assert bring_up_to_date(root, "small", "loss_landscape") == Summary(1, 2, 0)
    assert contents(folder) == before


@pytest.mark.parametrize("checkpoints", [1, -3])
def test_a_choice_without_both_ends_is_refused(checkpoints: int, root: Path) -> None:
    change(root, "checkpoints: 12", f"checkpoints: {checkpoints}")
    with pytest.raises(MiscopeError, match=rf"^`checkpoints` = {checkpoints}; allowed: at least 2 .*, or 0 for all\.$"):
        bring_up_to_date(root, "small", "loss_landscape")


def test_the_chosen_checkpoints_are_even_in_number_and_have_both_ends() -> None:
    steps = (0, 1, 2, 5, 10, 100, 1000)
    assert looked_at(steps, {"checkpoints": 3}) == (0, 5, 1000)
    assert looked_at(steps, {"checkpoints": 2}) == (0, 1000)
    assert looked_at(steps, {}) == looked_at(steps, {"checkpoints": 7}) == steps
    assert looked_at((0,), {"checkpoints": 12}) == (0,)


# ---------------------------------------------------------------- a tracker of weights and of Outputs


def nothing(weights: object, losses: object, context: Context) -> Output:
    return Output()


def test_a_tracker_may_read_weights_and_outputs_and_is_stale_when_either_has_changed(
    root: Path, folder: Folder
) -> None:
    """Not one of the catalogue's: they read the one or the other, and the engine promises both."""
    losses = catalog.instrument("losses")
    assert isinstance(losses, PerCheckpoint)
    both = OverTraining(nothing, needs=(losses,), reads_weights=True)
    weights, outputs = analysis._inputs(root, folder, both, store.load_context(folder.probe))
    assert list(weights) == list(outputs) == list(STEPS)
    assert weights[20].weights["embed.W_E"].shape == (8, 8)
    assert outputs[20].all_loss > 0
    digests = [status.digest_of_inputs(folder, one) for one in (both, replace(both, needs=()))]
    remade = store.load_output(folder.output("losses", 20), losses.output_type)
    signed = store.load_provenance(folder.output("losses", 20))
    store.save_output(folder.output("losses", 20), replace(remade, all_loss=7.0), signed)  # type: ignore[call-arg]
    after = [status.digest_of_inputs(folder, one) for one in (both, replace(both, needs=()))]
    assert [one != other for one, other in zip(digests, after, strict=True)] == [True, False]
    found = store.load_checkpoint(folder.checkpoint(20))
    moved = {name: 2 * weight for name, weight in found.weights.items()}
    store.save_checkpoint(folder.checkpoint(20), 20, found.model, moved)
    assert status.digest_of_inputs(folder, both) != after[0]


@pytest.mark.parametrize(("inputs", "positions"), [("all", "answer"), ("train", "answer"), ("all", "all")])
def test_a_tracker_of_activations_is_handed_those_of_one_checkpoint_at_a_time(
    inputs: Literal["all", "train"], positions: Literal["answer", "all"], root: Path, folder: Folder
) -> None:
    context = store.load_context(folder.probe)
    hooks = ("logits", "mlp.hook_post")
    tracker = OverTraining(nothing, hooks=hooks, positions=positions, inputs=inputs)
    (seen,) = analysis._inputs(root, folder, tracker, context)
    assert list(seen) == list(STEPS)
    chosen = context.probe.is_train if inputs == "train" else slice(None)
    for step in STEPS:
        expected = activations(store.load_checkpoint(folder.checkpoint(step)), context, hooks, positions)
        found = seen[step].activations
        assert set(found) == {"logits", "blocks.0.mlp.hook_post"}
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name][chosen], rtol=1e-5, atol=1e-6)
    assert seen[20] is not seen[20]  # none is kept


def test_a_tracker_of_activations_is_stale_when_weights_have_changed(root: Path, folder: Folder) -> None:
    tracker = OverTraining(nothing, hooks=("logits",))
    before = status.digest_of_inputs(folder, tracker)
    assert before == status.digest_of_inputs(folder, OverTraining(nothing, reads_weights=True))
    found = store.load_checkpoint(folder.checkpoint(20))
    store.save_checkpoint(folder.checkpoint(20), 20, found.model, {n: 2 * w for n, w in found.weights.items()})
    assert status.digest_of_inputs(folder, tracker) != before


def test_the_excluded_loss_of_a_variant_is_that_of_its_logits_at_every_checkpoint(root: Path, folder: Folder) -> None:
    change(root, "instruments:\n", "instruments:\n  progress_measures: {keys: [2]}\n")
    for name in ("logit_spectra", "progress_measures"):
        bring_up_to_date(root, "small", name)
    context = store.load_context(folder.probe)
    probe, rows = context.probe, context.basis.matrix[[3, 4]]
    expected = []
    for step in STEPS:
        logits = activations(store.load_checkpoint(folder.checkpoint(step)), context, ("logits",), "answer")["logits"]
        sums = np.stack([logits[probe.targets == s].mean(axis=0, dtype=np.float64) for s in range(7)])
        without = logits - (rows.T @ rows @ sums)[probe.targets]
        expected.append(answers(without[probe.is_train], probe.targets[probe.is_train]).loss.mean())
    found = store.load_output(folder.over_training("progress_measures"), ProgressMeasures)
    np.testing.assert_allclose(found.excluded_loss, expected, rtol=1e-5)
