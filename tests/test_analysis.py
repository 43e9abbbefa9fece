"""The engine: what it computes, what it leaves as it lies, and how it proves that an artifact is what it claims."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import workspace
from small import OWN, STEPS, Small, truncate
from workspace import NOT_APPLICABLE

from miscope.catalog import builtin
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import OverTraining, PerCheckpoint
from miscope.workspace import analysis, store
from miscope.workspace.analysis import Summary

CATALOG = builtin()
PER_CHECKPOINT = [n for n in CATALOG.stored if isinstance(CATALOG.instrument(n), PerCheckpoint)]
NEED_AN_MLP = {"neuron_spectra", "neuron_dynamics", "neuron_activations", "neuron_fourier", "neuron_groups"}
RERUN = "Run `dvc repro report@small`."


# ---------------------------------------------------------------- what is computed


def test_what_is_fresh_is_not_computed_again(own: Small) -> None:
    for name, summary in own.update().items():
        assert (summary.computed, summary.removed, summary.error) == (0, 0, "")
        assert bool(summary.reason) == (name in NOT_APPLICABLE)


def test_gaps_are_filled_with_the_bytes_that_were_there_and_nothing_else_is_written(own: Small) -> None:
    names = [name for name in PER_CHECKPOINT if name not in NOT_APPLICABLE]
    before = {name: own.contents(name) for name in names}
    files = [file for name in names for file in own.folder.instrument(name).iterdir()]
    stamps = {file: file.stat().st_mtime_ns for file in files}
    for name in names:
        own.folder.output(name, 20).unlink()
    assert {str(summary) for summary in own.update(*names).values()} == {"1 computed, 2 fresh, 0 removed"}
    assert {name: own.contents(name) for name in names} == before
    assert {file.name for file in files if file.stat().st_mtime_ns != stamps[file]} == {"000020.npz"}


def test_progress_sees_exactly_the_steps_that_are_computed(own: Small) -> None:
    seen: list[int] = []
    own.folder.output("losses", 40).unlink()
    own.folder.output("head_scores", 20).unlink()
    own.update("losses", "head_scores", "singular_values", progress=lambda steps: seen.extend(steps) or seen)
    assert seen == [20, 40]  # all look at a checkpoint together


@pytest.mark.parametrize("damaged", ["000020.npz", "nulls.json"])
def test_a_damaged_file_has_a_status_is_refused_in_one_line_and_is_made_again(damaged: str, own: Small) -> None:
    before = own.contents("losses")
    truncate(own.folder.instrument("losses") / damaged)
    assert own.load().status("losses").state == "stale"
    for read in (own.load().artifact, own.load().nulls):
        with pytest.raises(MiscopeError, match=r"cannot be read .* Delete it and run `dvc repro`\.$") as refused:
            read("losses")
        assert "\n" not in str(refused.value)
    assert own.update("losses")["losses"].computed == damaged.endswith(".npz")
    assert own.contents("losses") == before


def test_changed_weights_are_measured_again_at_their_step_alone(own: Small) -> None:
    before = own.contents("singular_values")
    own.change_weights(20)
    assert own.update("singular_values")["singular_values"] == Summary(1, 2, 0)
    after = own.contents("singular_values")
    assert {name for name in after if after[name] != before[name]} == {"000020.npz", "nulls.json"}


def test_what_no_checkpoint_asks_for_and_what_a_kill_left_is_removed(own: Small) -> None:
    before = own.contents("losses")
    shutil.copy(own.folder.output("losses", 20), own.folder.output("losses", 30))
    for name in ("losses", "phases"):
        (own.folder.instrument(name) / ".unfinished-abc").write_bytes(b"half a fi")
    assert own.update("losses", "phases") == {"losses": Summary(0, 3, 2), "phases": Summary(0, 1, 1)}
    assert own.contents("losses") == before
    own.folder.checkpoint(20).unlink()
    assert own.update("losses")["losses"] == Summary(0, 2, 1)
    assert own.load().artifact("losses").steps == (0, 40)


def test_a_truncated_checkpoint_is_one_line_and_nothing_is_lost(own: Small) -> None:
    before = {name: own.contents(name) for name in ("losses", "parameter_trajectory")}
    truncate(own.folder.checkpoint(20))
    assert own.load().status("singular_values").state == "stale"  # so that lists can show the rest
    with pytest.raises(MiscopeError, match=r"000020\.safetensors cannot be read .* Delete it and run `dvc repro`\.$"):
        own.update()
    assert {name: own.contents(name) for name in before} == before


def test_a_checkpoint_with_a_flipped_bit_is_refused_and_what_was_computed_before_it_stays(own: Small) -> None:
    shutil.rmtree(own.folder.instrument("losses"))
    data = bytearray(own.folder.checkpoint(20).read_bytes())
    data[-1] ^= 1
    own.folder.checkpoint(20).write_bytes(bytes(data))
    with pytest.raises(MiscopeError, match="damaged: its weights differ from their digest"):
        own.update("losses")
    assert own.folder.output_steps("losses") == (0,)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("probe.safetensors", "`small` has no probe.safetensors. Run `dvc repro report@small`."),
        ("checkpoints", "`small` has no checkpoints. Run `dvc repro train@small`."),
    ],
)
def test_what_all_instruments_lack_is_one_line(gone: str, sentence: str, own: Small) -> None:
    path = own.folder.path / gone
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(MiscopeError) as refused:
        own.update()
    assert str(refused.value) == sentence


# ---------------------------------------------------------------- the proof of origin


def with_other_probe(own: Small) -> None:
    store.save_context(own.folder.probe, own.config.variant("small").family.context(data_seed=5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_other_probe, r"it was made from other probe \(\w{8}, now \w{8}\) at step 0"),
        (lambda own: own.change("threshold: 3.0", "threshold: 2.0"),
         r'it was made with the settings {"threshold":3\.0}, now {"threshold":2\.0} at step 0'),
        (lambda own: own.sign_with_other_code("dominant_frequencies"),
         r"the code that makes it has changed \(00000000, now \w{8}\) at step 0"),
        (lambda own: own.change_weights(20), r"it was made from other weights \(\w{8}, now \w{8}\) at step 20"),
    ],
)  # fmt: skip
def test_an_artifact_is_refused_with_the_digest_that_disagrees_until_it_is_made_again(
    change: Callable[[Small], None], reason: str, own: Small
) -> None:
    name = "dominant_frequencies"
    assert own.load().status(name).state == "fresh"
    change(own)
    assert own.load().status(name).state == "stale"
    for read in (own.load().artifact, own.load().nulls):
        with pytest.raises(MiscopeError, match=rf"^`{name}` of `small` is stale: {reason}\. {RERUN}$"):
            read(name)
    own.update(name)
    assert own.load().status(name).state == "fresh"


def test_what_is_missing_says_how_much(own: Small) -> None:
    (own.folder.nulls("losses")).unlink()
    assert own.load().status("losses").sentence == f"`losses` of `small` lacks its nulls. {RERUN}"
    own.folder.output("losses", 20).unlink()
    assert own.load().status("losses").sentence == f"`losses` of `small` lacks 1 of 3 checkpoints. {RERUN}"
    shutil.rmtree(own.folder.instrument("losses"))
    assert own.load().status("losses").state == "missing"
    with pytest.raises(MiscopeError, match=rf"^`small` has no `losses`\. {RERUN}$"):
        own.load().artifact("losses")


def test_artifacts_of_another_training_are_refused_with_what_differs(own: Small) -> None:
    own.change("seed: 1", "seed: 2")
    assert own.load().status("losses").state == "stale"
    with pytest.raises(MiscopeError, match=rf"^`small` was trained with seed = 1, .* now says 2\. {RERUN}$"):
        own.load().artifact("losses")


EDITS = {
    "core.py": """
_layers = Checkpoint.layers
Checkpoint.layers = lambda checkpoint, hook: 2 * _layers(checkpoint, hook)
""",
    "workspace/observation.py": """
_observed = observed_over_training
def observed_over_training(checkpoint, context, instrument):
    turned = replace(context.probe, is_train=context.probe.is_train[::-1])
    return _observed(checkpoint, replace(context, probe=turned), instrument)
""",
}
ON_EDITED_SOURCE = """
from small import Path, Small
own, names = Small(Path()), ("attention_patterns", "losses", "logit_spectra", "progress_measures")
print(*{own.load().status(name).state for name in own.stored})
print(*(summary.computed for summary in own.update(*names).values()))
print(*{own.load().status(name).state for name in names})
"""


def test_code_that_hands_instruments_their_inputs_makes_all_stale_and_is_measured_with(
    own: Small, tmp_path: Path
) -> None:
    own.change("instruments:\n", "instruments:\n  progress_measures: {keys: [2]}\n")
    own.update("progress_measures")
    pattern = own.load().artifact("attention_patterns")[20].mean
    excluded = own.load().artifact("progress_measures").excluded_loss
    source = tmp_path / "src" / "miscope"
    shutil.copytree(workspace.REPOSITORY / "src" / "miscope", source, ignore=shutil.ignore_patterns("__pycache__"))
    for file, edit in EDITS.items():
        (source / file).write_text((source / file).read_text() + edit)
    done = own.run("-c", ON_EDITED_SOURCE, source=source.parent)
    assert done.stdout.splitlines() == ["stale", "3 3 3 1", "fresh"], done.stderr
    doubled = own.output(own.folder.output("attention_patterns", 20), "attention_patterns").mean
    np.testing.assert_allclose(doubled, 2 * pattern, rtol=1e-6)
    on_others = own.output(own.folder.over_training("progress_measures"), "progress_measures").excluded_loss
    assert not np.isclose(on_others, excluded).any()


# ---------------------------------------------------------------- instruments over training


def test_one_over_training_is_fresh_when_only_the_code_upstream_has_changed(own: Small) -> None:
    own.sign_with_other_code("losses")
    assert own.load().status("phases").sentence == own.load().status("losses").sentence
    assert own.load().status("phases").state == "stale"  # what it reads cannot be trusted yet
    assert own.update("losses")["losses"] == Summary(3, 0, 0)
    assert own.load().status("phases").state == "fresh"
    assert own.update("phases")["phases"] == Summary(0, 1, 0)


def test_one_over_training_does_not_read_what_is_stale(own: Small) -> None:
    before = own.contents("phases")
    own.change_weights(20)
    assert own.update("phases")["phases"].error.startswith("`losses` of `small` is stale: ")
    assert own.contents("phases") == before


# ---------------------------------------------------------------- instruments that are wrong

MISTAKES = {
    "flat": ("return Mean(np.ones((1, 2)))", "at step 0, Mean: `mean` is float64[1, 2], declared Float['layer']."),
    "raises": ("return 1 / 0", "at step 0, ZeroDivisionError: division by zero"),
    "late": ("return Mean(np.ones(2 // (40 - checkpoint.step)))", "at step 40, ZeroDivisionError: integer division"),
    "absent": ("from nowhere import nothing", "at step 0, ModuleNotFoundError: No module named 'nowhere'"),
}


def test_an_instrument_that_is_wrong_is_one_line_and_the_others_are_computed(own: Small) -> None:
    lab = own.root / "lab_of_mistakes"
    lab.mkdir()
    for name, (body, _) in MISTAKES.items():
        (lab / f"{name}.py").write_text(re.sub("return Mean.*", body, OWN, count=1))
        own.change("instruments:\n", f"instruments:\n  lab_of_mistakes.{name}: {{}}\n")
    (lab / "broken.py").write_text("def broken(")
    own.change("instruments:\n", "instruments:\n  lab_of_mistakes.broken: {floor: 1.0}\n")
    own.change_weights(20)

    summaries = own.update(*own.stored)
    for name, (_, sentence) in MISTAKES.items():
        assert str(summaries[name]).startswith(f"failed: {sentence}")
        assert own.load().status(name).state in ("missing", "stale")
    for name, sentence in (
        ("flat", f"`flat` failed on `small`: {MISTAKES['flat'][1]}"),
        ("broken", "`broken` failed on `small`: The instrument"),
    ):
        done = own.run(str(workspace.REPOSITORY / "stages" / "analyze.py"), "small", name)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {sentence}") and "\n" not in done.stderr.rstrip()
    assert own.folder.output_steps("late") == (0, 20)
    assert own.folder.output_steps("flat") == ()
    states = {name: own.load().status(name).state for name in CATALOG.names}
    assert states == {name: "not applicable" if name in NOT_APPLICABLE else "fresh" for name in CATALOG.names}


# ---------------------------------------------------------------- what does not apply, what is not stored


@pytest.mark.parametrize("name", ["neuron_spectra", "neuron_dynamics"])
def test_an_instrument_that_does_not_apply_says_why(name: str, own: Small) -> None:
    reason = "The model is attention-only (`d_mlp` is 0), so it has no `mlp.hook_post`."
    loaded = own.load("attention_only")
    assert [file.name for file in loaded.folder.instrument(name).iterdir()] == ["not_applicable.npz"]
    assert (loaded.status(name).state, loaded.status(name).detail) == ("not applicable", reason)
    for read in (loaded.artifact, loaded.nulls):
        with pytest.raises(NotApplicable, match=f"^{re.escape(reason)}$"):
            read(name)
    assert own.update(name, variant="attention_only")[name] == Summary(reason=reason)


def test_every_other_instrument_measures_an_attention_only_model(analysed: Small) -> None:
    others = set(CATALOG.names) - NOT_APPLICABLE - NEED_AN_MLP
    states = {name: analysed.load("attention_only").status(name).state for name in others}
    assert states == dict.fromkeys(others, "fresh")


def test_an_instrument_that_is_not_stored_is_computed_when_asked_and_writes_nothing(own: Small) -> None:
    artifact = own.load().artifact("neuron_activations")
    assert artifact.steps == STEPS
    assert artifact[20].activation.shape == (1, 16, 49)
    assert artifact[20] is artifact[20]  # kept while it is looked at
    assert not own.folder.instrument("neuron_activations").exists()
    with pytest.raises(NotApplicable, match=r"^The model (is attention-only|has no MLP)"):
        own.load("attention_only").artifact("neuron_activations")[0]


def test_what_is_not_stored_may_be_computed_elsewhere(analysed: Small) -> None:
    asked = []

    def elsewhere(root: Path, variant: str, instrument: str, step: int) -> object:
        asked.append((variant, instrument, step))
        return analysis.compute_at(root, variant, instrument, step)

    for name in ("neuron_activations", "losses"):
        _ = analysis.artifact(analysed.config, analysed.folder, name, elsewhere)[40]  # type: ignore[arg-type, index]
    assert asked == [("small", "neuron_activations", 40)]


# ---------------------------------------------------------------- what is imported


def test_instruments_that_need_no_activation_import_no_torch(own: Small) -> None:
    instruments = {name: CATALOG.instrument(name) for name in CATALOG.stored if name not in NOT_APPLICABLE}
    asked = {name: one.hooks if isinstance(one, OverTraining) else one.needs for name, one in instruments.items()}
    chosen = [name for name in asked if not asked[name]]
    for name in chosen:
        shutil.rmtree(own.folder.instrument(name))
    done = own.run(
        "-c",
        "import sys; from pathlib import Path; from miscope.workspace import Workspace, analysis\n"
        f"workspace = Workspace(Path()); config, folder = workspace.config, workspace.folder('small')\n"
        f"done = analysis.bring_up_to_date(config, folder, {chosen!r})\n"
        "print(*(summary for summary in done.values()), 'torch' in sys.modules, sep='\\n')",
    )
    *summaries, imports_torch = done.stdout.splitlines()
    assert {line.split(",")[0] for line in summaries} == {"1 computed", "3 computed"}, done.stderr
    assert len(summaries) == len(chosen) and imports_torch == "False"
