"""The flow under real DVC: what runs again, and what does not."""

import json
import re
import shutil
from pathlib import Path

import pytest
import workspace
from workspace import Workspace

pytestmark = pytest.mark.pipeline

LOSSES = {"losses:analyze@tiny", "losses:render@tiny"}
READ_LOSSES = {f"{name}:analyze@tiny" for name in ("phases", "first_learned_step", "progress_measures")}
FOLLOWS = {"render@tiny", "report@tiny"}  # the family's own views, and the report


def test_a_second_repro_runs_nothing(own_copy: Workspace) -> None:
    assert own_copy.repro() == set()
    status = own_copy.run("dvc", "status").stdout
    assert set(re.findall(r"^(\S+):$", status, re.M)) == {"stages/calibrate/dvc.yaml:calibrate"}  # always runs


def test_a_comment_and_a_docstring_run_nothing_but_the_stage_that_looks(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    own_copy.edit("src/miscope/instruments/losses/measure.py", '"""', '"""An edit. ')
    own_copy.edit("src/miscope/training/loop.py", "import time", "# an edit\nimport time")
    own_copy.edit("src/miscope/core.py", '"""', '"""An edit. ')
    assert own_copy.repro() == {"keys"}
    assert own_copy.bytes_of("artifacts/tiny") == before


def test_editing_one_instrument_runs_it_and_what_reads_its_outputs(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    own_copy.edit("src/miscope/instruments/losses/measure.py", "@dataclass", "EDIT = 1\n\n\n@dataclass")
    ran = own_copy.repro()
    assert LOSSES <= ran <= {"keys"} | LOSSES | READ_LOSSES | FOLLOWS
    changed = _changed(before, own_copy.bytes_of("artifacts/tiny"))
    assert {Path(name).parts[:2] for name in changed - {"views/losses/drawn_from"}} == {("instruments", "losses")}


def test_one_instrument_on_one_variant_can_be_asked_for(own_copy: Workspace) -> None:
    own_copy.edit("params.yaml", "dominant_frequencies: {threshold: 3.0}", "dominant_frequencies: {threshold: 1.0}")
    stage = "dominant_frequencies/dvc.yaml:analyze@tiny"
    assert own_copy.repro(f"stages/{stage}") == {"keys", "dominant_frequencies:analyze@tiny"}
    before = own_copy.bytes_of("artifacts/tiny/views")
    assert "dominant_frequencies:render@tiny" in own_copy.repro()
    changed = _changed(before, own_copy.bytes_of("artifacts/tiny/views"))
    assert {Path(name).parts[0] for name in changed} == {"dominant_frequencies"}


def test_editing_a_view_draws_those_of_its_instrument_and_computes_nothing(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    own_copy.edit("src/miscope/instruments/losses/views.py", 'reading="', 'reading="An edit. ')
    assert own_copy.repro() == {"keys", "losses:render@tiny", "report@tiny"}
    changed = _changed(before, own_copy.bytes_of("artifacts/tiny"))
    assert changed == {"views/losses/drawn_from", "views/losses/overview.json", "report.html"}  # readings stand in both


def test_a_default_in_the_code_makes_stale_what_the_keys_call_stale(own_copy: Workspace) -> None:
    own_copy.edit("src/miscope/core.py", "weight_decay: float = 1.0", "weight_decay: float = 0.5")
    assert "train@tiny" in own_copy.repro("train@tiny")
    recipe = json.loads((own_copy.path / "artifacts/tiny/variant.json").read_text())["recipe"]
    assert recipe["weight_decay"] == 0.5
    assert own_copy.repro("train@tiny") == set()


def test_an_instrument_that_raises_stops_what_depends_on_it_and_nothing_else(own_copy: Workspace) -> None:
    own_copy.edit("src/miscope/instruments/logit_lens/measure.py", "def nulls(", "raise_ = 1 / 0\n\n\ndef nulls(")
    own_copy.edit("src/miscope/instruments/losses/views.py", 'reading="', 'reading="An edit. ')
    done = own_copy.run("python", "-m", "miscope", "run", is_checked=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert re.search(r"\nerror: \d stages? failed\.\n$", done.stderr)
    assert "An edit." in (own_copy.path / "artifacts/tiny/views/losses/overview.json").read_text()
    own_copy.edit("src/miscope/instruments/logit_lens/measure.py", "raise_ = 1 / 0\n\n\n", "")
    assert own_copy.make()[-1].endswith("0 failed.")


def test_one_more_checkpoint_computes_only_its_own_artifacts(own_copy: Workspace, tmp_path: Path) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    own_copy.edit("params.yaml", "      - every: 20\n", "      - every: 20\n      - 50\n")
    measured = ("losses", "neuron_spectra", "attention_patterns", "singular_values", "dominant_frequencies")
    stages = [f"stages/{name}/dvc.yaml:analyze@tiny" for name in measured]
    own_copy.make(*stages)
    for instrument in measured:
        assert re.search(r": [01] computed, 1[12] fresh, 0 removed", own_copy.log(f"{instrument}-analyze@tiny"))
        after = _outputs(own_copy, instrument)
        assert set(after) == {f"{step:06d}.npz" for step in (*range(0, 201, 20), 50)}
        assert all(before[f"instruments/{instrument}/{name}"] == after[name] for name in after if name != "000050.npz")
    assert "checkpoints/000050.safetensors" in own_copy.bytes_of("artifacts/tiny")
    filled = _outs(own_copy, measured)

    anew = own_copy.copy(tmp_path / "anew")
    shutil.rmtree(anew.path / "artifacts" / "tiny")
    for lock in anew.path.rglob("dvc.lock"):
        lock.unlink()
    anew.make(*stages)
    fresh = _outs(anew, measured)
    timed = {"variant.json", "metrics.json"}  # they say how many seconds the training took
    assert set(filled) == set(fresh)
    assert _changed(filled, fresh) <= timed


def test_a_checkpoint_no_longer_asked_for_takes_its_artifacts_with_it(own_copy: Workspace) -> None:
    own_copy.edit("params.yaml", "every: 20", "every: 40")
    own_copy.make("stages/losses/dvc.yaml:analyze@tiny")
    assert set(_outputs(own_copy, "losses")) == {f"{step:06d}.npz" for step in range(0, 201, 40)}


def test_an_experiment_varies_one_variant_and_its_metrics_compare(own_copy: Workspace) -> None:
    own_copy.run("git", "add", "-A")
    own_copy.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "made")
    own_copy.run("dvc", "exp", "run", "--name", "other-seed", "-S", "variants.tiny.seed=3", "train@tiny")
    shown = own_copy.run("dvc", "exp", "show", "--csv").stdout
    assert "other-seed" in shown
    assert "test_loss" in shown
    assert "variants.tiny.seed" in shown
    metrics = own_copy.run("dvc", "metrics", "show", "--json").stdout
    assert "test_accuracy" in metrics


def test_a_mistake_in_params_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    made = workspace.create(tmp_path / "mistaken", workspace.TINY.replace("modulus: 13", "modulus: 12"))
    done = made.run("python", "stages/train.py", "tiny", is_checked=False)
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: `variants.tiny`: `modulus` = 12; allowed: a prime from 3 to 997.\n"
    assert not (made.path / "artifacts").exists()


def test_a_mistake_in_params_loses_nothing_that_was_made(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    own_copy.edit("params.yaml", "modulus: 13", "modulos: 13")
    done = own_copy.run("dvc", "repro", "report", is_checked=False)
    said = "error: params.yaml: `variants.tiny`: `modulos` is unknown. Did you mean `modulus`?"
    assert said in done.stderr + done.stdout
    assert own_copy.bytes_of("artifacts/tiny") == before
    own_copy.edit("params.yaml", "modulos: 13", "modulus: 13")
    assert own_copy.repro() == set()


def _outs(made: Workspace, instruments: tuple[str, ...]) -> dict[str, bytes]:
    """All that the training left but the states to resume from, and what these instruments measured."""
    everything = made.bytes_of("artifacts/tiny")
    own = tuple(f"instruments/{name}/" for name in instruments)
    other = ("resume/", "views/", "instruments/", "report.html")
    return {name: c for name, c in everything.items() if name.startswith(own) or not name.startswith(other)}


def _outputs(made: Workspace, instrument: str) -> dict[str, bytes]:
    """All but the nulls, which are of the whole artifact."""
    files = made.bytes_of(f"artifacts/tiny/instruments/{instrument}")
    return {name: content for name, content in files.items() if name.endswith(".npz")}


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
