"""The engine: what it computes, what it leaves as it lies, and how it proves that an artifact is what it claims."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from miscope.analysis import Summary, artifact, bring_up_to_date
from workspace import NOT_APPLICABLE, Workspace

from miscope import catalog
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import Artifact, OverTraining, PerCheckpoint
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
  attention_only:
    family: modulo_addition
    modulus: 7
    train_fraction: 0.5
    steps: 2
    checkpoints: [1]
    model: {d_model: 8, n_heads: 2, d_head: 4, d_mlp: 0}
instruments:
  neuron_spectra: {levels: [0.7, 0.9], low_frequencies: 3}
  dominant_frequencies: {threshold: 3.0}
  loss_landscape: {directions: 2, trace_vectors: 2}
  local_learning_coefficient: {draws: 8, chains: 2}
"""
STORED = tuple(
    name
    for name in catalog.analyzers()
    if isinstance(found := catalog.instrument(name), PerCheckpoint) and found.is_stored
)
RERUN = "Run `dvc repro report@small`."


@pytest.fixture(scope="session")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose two variants are trained and analysed. Read it; to change it, take a copy."""
    root = tmp_path_factory.mktemp("analysed")
    (root / "params.yaml").write_text(PARAMS)
    for variant in configuration.load(root).variants.values():
        train(variant, files.folder_of(root, variant.name))
        analysis.write_probe(root, variant.name)
        for name in (*STORED, *catalog.trackers()):
            bring_up_to_date(root, variant.name, name)
    return root


@pytest.fixture
def root(analysed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(analysed, tmp_path / "root"))


@pytest.fixture
def folder(root: Path) -> Folder:
    return files.folder_of(root, "small")


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def change(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert old in text
    (root / "params.yaml").write_text(text.replace(old, new, 1))


def change_weights(folder: Folder, step: int) -> None:
    """Write a checkpoint that is whole and valid, with other weights."""
    found = store.load_checkpoint(folder.checkpoint(step))
    weights = {name: weight + np.float32(0.25) for name, weight in found.weights.items()}
    store.save_checkpoint(folder.checkpoint(step), step, found.model, weights)


def remake_with_other_code(folder: Folder, instrument: str) -> None:
    """The same Outputs, as an earlier version of the instrument would have signed them."""
    kind = catalog.instrument(instrument).output_type
    for path in (folder.instrument(instrument)).glob("*.npz"):
        signed = replace(store.load_provenance(path), code="0" * 32)
        store.save_output(path, store.load_output(path, kind), signed)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# ---------------------------------------------------------------- what is computed


def test_what_is_fresh_is_not_computed_again(root: Path) -> None:
    for name in STORED:
        found = bring_up_to_date(root, "small", name)
        assert (found.computed, found.removed, found.kept or found.reason) == (0, 0, found.reason or 3)
        assert bool(found.reason) == (name in NOT_APPLICABLE)
    for name in catalog.trackers():
        assert bring_up_to_date(root, "small", name) == Summary(0, 1, 0)


@pytest.mark.parametrize("name", [name for name in STORED if name not in NOT_APPLICABLE])
def test_a_gap_is_filled_with_the_bytes_that_were_there_and_nothing_else_is_written(name: str, root: Path) -> None:
    folder = files.folder_of(root, "small")
    before, stamps = contents(folder.instrument(name)), {s: folder.output(name, s).stat().st_mtime_ns for s in STEPS}
    folder.output(name, 20).unlink()
    assert str(bring_up_to_date(root, "small", name)) == "1 computed, 2 fresh, 0 removed"
    assert contents(folder.instrument(name)) == before
    assert {s for s in STEPS if folder.output(name, s).stat().st_mtime_ns != stamps[s]} == {20}


def test_progress_sees_exactly_the_steps_that_are_computed(root: Path, folder: Folder) -> None:
    seen: list[int] = []

    def progress(steps: Iterable[int]) -> Iterator[int]:
        for step in steps:
            seen.append(step)
            yield step

    folder.output("losses", 40).unlink()
    bring_up_to_date(root, "small", "losses", progress)
    assert seen == [40]


def test_a_truncated_artifact_is_computed_again(root: Path, folder: Folder) -> None:
    before = contents(folder.instrument("losses"))
    truncate(folder.output("losses", 20))
    assert bring_up_to_date(root, "small", "losses") == Summary(1, 2, 0)
    assert contents(folder.instrument("losses")) == before


def test_changed_weights_are_measured_again_at_their_step_alone(root: Path, folder: Folder) -> None:
    before = contents(folder.instrument("singular_values"))
    change_weights(folder, 20)
    assert bring_up_to_date(root, "small", "singular_values") == Summary(1, 2, 0)
    after = contents(folder.instrument("singular_values"))
    assert {name for name in after if after[name] != before[name]} == {"000020.npz"}


def test_what_no_checkpoint_asks_for_and_what_a_kill_left_is_removed(root: Path, folder: Folder) -> None:
    before = contents(folder.instrument("losses"))
    shutil.copy(folder.output("losses", 20), folder.output("losses", 30))
    (folder.instrument("losses") / ".unfinished-abc").write_bytes(b"half a fi")
    assert bring_up_to_date(root, "small", "losses") == Summary(0, 3, 2)
    assert contents(folder.instrument("losses")) == before
    (folder.instrument("phases") / ".unfinished-abc").write_bytes(b"half a fi")
    assert bring_up_to_date(root, "small", "phases") == Summary(0, 1, 1)


def test_a_checkpoint_that_is_gone_takes_its_artifacts_with_it(root: Path, folder: Folder) -> None:
    folder.checkpoint(20).unlink()
    assert bring_up_to_date(root, "small", "losses") == Summary(0, 2, 1)
    assert artifact(root, "small", "losses").steps == (0, 40)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["losses", "parameter_trajectory"])
def test_a_truncated_checkpoint_is_one_line_and_nothing_else_is_lost(name: str, root: Path, folder: Folder) -> None:
    before = contents(folder.instrument(name))
    truncate(folder.checkpoint(20))
    with pytest.raises(MiscopeError, match=r"000020\.safetensors cannot be read .* Delete it and run `dvc repro`\.$"):
        bring_up_to_date(root, "small", name)
    assert contents(folder.instrument(name)) == before


def test_a_checkpoint_with_a_flipped_bit_is_refused_and_what_was_computed_before_it_stays(
    root: Path, folder: Folder
) -> None:
    shutil.rmtree(folder.instrument("losses"))
    data = bytearray(folder.checkpoint(20).read_bytes())
    data[-1] ^= 1
    folder.checkpoint(20).write_bytes(bytes(data))
    with pytest.raises(MiscopeError, match="damaged: its weights differ from their digest"):
        bring_up_to_date(root, "small", "losses")
    assert folder.output_steps("losses") == (0,)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("probe.safetensors", "`small` has no probe.safetensors. Run `dvc repro report@small`."),
        ("checkpoints", "`small` has no checkpoints. Run `dvc repro train@small`."),
    ],
)
def test_what_an_instrument_lacks_is_one_line(gone: str, sentence: str, root: Path, folder: Folder) -> None:
    path = folder.path / gone
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(MiscopeError) as raised:
        bring_up_to_date(root, "small", "losses")
    assert str(raised.value) == sentence


# ---------------------------------------------------------------- the proof of origin


def other_probe(root: Path) -> None:
    family = configuration.load(root).variant("small").family
    store.save_context(files.folder_of(root, "small").probe, family.context(data_seed=5))


def other_settings(root: Path) -> None:
    change(root, "threshold: 3.0", "threshold: 2.0")


def other_code(root: Path) -> None:
    remake_with_other_code(files.folder_of(root, "small"), "dominant_frequencies")


def other_weights(root: Path) -> None:
    change_weights(files.folder_of(root, "small"), 20)


@pytest.mark.parametrize(
    ("disturb", "reason"),
    [
        (other_probe, r"it was made with another probe \(\w{8}, now \w{8}\) at step 0"),
        (other_settings, r'it was made with the settings {"threshold":3\.0}, now {"threshold":2\.0} at step 0'),
        (other_code, r"the instrument's code has changed since \(00000000, now \w{8}\) at step 0"),
        (other_weights, r"what it was made from has changed since \(\w{8}, now \w{8}\) at step 20"),
    ],
)
def test_an_artifact_is_refused_with_the_digest_that_disagrees_until_it_is_made_again(
    disturb: Callable[[Path], None], reason: str, root: Path
) -> None:
    name = "dominant_frequencies"
    assert status(root, "small", name).state == "fresh"
    disturb(root)
    found = status(root, "small", name)
    assert found.state == "stale"
    with pytest.raises(MiscopeError, match=rf"^`{name}` of `small` is stale: {reason}\. {RERUN}$"):
        artifact(root, "small", name)
    bring_up_to_date(root, "small", name)
    assert status(root, "small", name).state == "fresh"


def test_an_artifact_with_gaps_says_how_many(root: Path, folder: Folder) -> None:
    folder.output("losses", 20).unlink()
    assert status(root, "small", "losses").sentence == f"`losses` of `small` lacks 1 of 3 checkpoints. {RERUN}"


def test_an_artifact_that_was_never_made_is_missing(root: Path, folder: Folder) -> None:
    shutil.rmtree(folder.instrument("losses"))
    assert status(root, "small", "losses").state == "missing"
    with pytest.raises(MiscopeError, match=rf"^`small` has no `losses`\. {RERUN}$"):
        artifact(root, "small", "losses")


@pytest.mark.parametrize("damaged", ["instruments/losses/000020.npz", "checkpoints/000020.safetensors"])
def test_a_damaged_file_is_refused_in_one_line(damaged: str, root: Path, folder: Folder) -> None:
    truncate(folder.path / damaged)
    with pytest.raises(MiscopeError, match="cannot be read") as raised:
        artifact(root, "small", "losses")
    assert "\n" not in str(raised.value)


def test_a_damaged_file_has_a_status_so_that_lists_can_show_the_rest(root: Path, folder: Folder) -> None:
    truncate(folder.output("losses", 20))
    assert status(root, "small", "losses").state == "stale"
    truncate(folder.checkpoint(20))
    assert status(root, "small", "singular_values").state == "stale"


# ---------------------------------------------------------------- trackers


def test_a_tracker_is_fresh_when_only_the_code_upstream_has_changed(root: Path, folder: Folder) -> None:
    remake_with_other_code(folder, "losses")
    assert status(root, "small", "phases").sentence == status(root, "small", "losses").sentence
    assert status(root, "small", "phases").state == "stale"  # what it reads cannot be trusted yet
    assert bring_up_to_date(root, "small", "losses") == Summary(3, 0, 0)
    assert status(root, "small", "phases").state == "fresh"
    assert bring_up_to_date(root, "small", "phases") == Summary(0, 1, 0)


def test_a_tracker_is_stale_when_the_values_that_it_reads_have_changed(root: Path) -> None:
    change(root, "levels: [0.7, 0.9]", "levels: [0.5, 0.9]")
    bring_up_to_date(root, "small", "neuron_spectra")
    with pytest.raises(
        MiscopeError, match=r"^`neuron_dynamics` of `small` is stale: what it was made from has changed"
    ):
        artifact(root, "small", "neuron_dynamics")
    assert bring_up_to_date(root, "small", "neuron_dynamics") == Summary(1, 0, 0)
    assert status(root, "small", "neuron_dynamics").state == "fresh"


def test_a_tracker_of_weights_is_stale_when_a_checkpoint_has_changed(root: Path, folder: Folder) -> None:
    change_weights(folder, 20)
    assert status(root, "small", "parameter_trajectory").state == "stale"
    assert bring_up_to_date(root, "small", "parameter_trajectory") == Summary(1, 0, 0)


def test_a_tracker_does_not_read_what_is_stale(root: Path, folder: Folder) -> None:
    before = contents(folder.instrument("phases"))
    change_weights(folder, 20)
    with pytest.raises(MiscopeError, match=r"^`losses` of `small` is stale: "):
        bring_up_to_date(root, "small", "phases")
    assert contents(folder.instrument("phases")) == before


# ---------------------------------------------------------------- what does not apply, what is not stored


@pytest.mark.parametrize("name", ["neuron_spectra", "neuron_dynamics"])
def test_an_instrument_that_does_not_apply_says_why(name: str, root: Path) -> None:
    reason = r"^The model is attention-only \(`d_mlp` is 0\), so it has no `mlp\.hook_post`\.$"
    assert set(contents(files.folder_of(root, "attention_only").instrument(name))) == {"not_applicable.npz"}
    assert status(root, "attention_only", name).state == "not applicable"
    with pytest.raises(NotApplicable, match=reason):
        artifact(root, "attention_only", name)
    found = bring_up_to_date(root, "attention_only", name)
    assert str(found).startswith("not applicable: The model is attention-only")
    assert found.computed == found.kept == 0


def test_every_other_instrument_measures_an_attention_only_model(root: Path) -> None:
    apart = NOT_APPLICABLE | {
        "neuron_spectra",
        "neuron_dynamics",
        "neuron_activations",
        "neuron_fourier",
        "neuron_groups",
    }
    states = {name: status(root, "attention_only", name).state for name in catalog.instruments() if name not in apart}
    assert states == dict.fromkeys(states, "fresh")


def test_an_instrument_that_is_not_stored_is_computed_when_asked_and_writes_nothing(root: Path, folder: Folder) -> None:
    found = artifact(root, "small", "neuron_activations")
    assert isinstance(found, Artifact)
    assert found.steps == STEPS
    assert found[20].activation.shape == (1, 16, 49)
    assert found[20] is found[20]  # kept while it is looked at
    assert not (folder.instrument("neuron_activations")).exists()


def test_an_instrument_that_is_not_stored_says_why_it_does_not_apply(root: Path) -> None:
    with pytest.raises(NotApplicable, match=r"^The model (is attention-only|has no MLP)"):
        artifact(root, "attention_only", "neuron_activations")[0]  # type: ignore[index]


def test_what_is_not_stored_may_be_computed_elsewhere(root: Path) -> None:
    asked = []

    def elsewhere(root: Path, variant: str, instrument: str, step: int) -> object:
        asked.append((variant, instrument, step))
        return analysis.compute_at(root, variant, instrument, step)

    artifact(root, "small", "neuron_activations", compute=elsewhere)[40]  # type: ignore[arg-type, index]
    artifact(root, "small", "losses", compute=elsewhere)[40]  # type: ignore[arg-type, index]
    assert asked == [("small", "neuron_activations", 40)]


# ---------------------------------------------------------------- what is imported


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in catalog.instruments()
        if name not in NOT_APPLICABLE
        and not (found.hooks if isinstance(found := catalog.instrument(name), OverTraining) else found.needs)
    ],
)
def test_an_instrument_that_needs_no_activation_imports_no_torch(name: str, root: Path, folder: Folder) -> None:
    shutil.rmtree(folder.instrument(name))
    code = (
        "import sys; from pathlib import Path; from miscope import analysis\n"
        f"print(analysis.bring_up_to_date(Path({str(root)!r}), 'small', {name!r}), 'torch' in sys.modules)"
    )
    source = os.environ | {"PYTHONPATH": str(catalog.SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=source, capture_output=True, text=True, check=False)
    assert done.stdout.split(",")[0] in ("1 computed", "3 computed"), done.stderr
    assert done.stdout.endswith("removed False\n")


@pytest.mark.parametrize(("old", "new", "words"), [("seed: 1", "seed: 2", "seed = 1, and params.yaml now says 2")])
def test_artifacts_of_another_training_are_refused_with_what_differs(
    old: str, new: str, words: str, tiny_workspace: Workspace, tmp_path: Path
) -> None:
    copied = tiny_workspace.copy(tmp_path / "copy")
    copied.edit("params.yaml", f"    {old}\n", f"    {new}\n")
    state = status.status(copied.path, "tiny", "losses")
    assert state.state == "stale"
    assert words in state.sentence
    with pytest.raises(MiscopeError, match="was trained with"):
        analysis.artifact(copied.path, "tiny", "losses")
