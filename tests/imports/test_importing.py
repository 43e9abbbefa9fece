"""Weights from elsewhere, brought into a workspace by the command and analysed as any variant's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import workspace
from safetensors.numpy import save_file

from miscope.calibration.models import Addition
from miscope.core import MiscopeError
from miscope.imports import bring_in, declare
from miscope.workspace import Workspace, analysis

ADDITION = Addition(p=11, frequencies=(2, 3, 5), gains=(3.0, 2.0, 1.0), n_phases=21)
TASK = ("family=modulo_addition", "modulus=11", "train_fraction=0.4", "data_seed=0")


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    """A workspace without variants, and weights beside it at two steps."""
    (tmp_path / "params.yaml").write_text("variants: {}\n")
    (tmp_path / "run").mkdir()
    weights = ADDITION.checkpoint().weights
    for step, size in ((100, 0.1), (3000, 1.0)):
        scaled = {n: size * w if n == "unembed.W_U" else w for n, w in weights.items()}
        save_file(scaled, tmp_path / f"run/{step}.safetensors")
    return Workspace(tmp_path)


def test_a_folder_of_weights_becomes_a_variant_that_instruments_analyse(made: Workspace) -> None:
    said = list(declare(made, "run", "elsewhere", TASK))
    assert said[-2].startswith("elsewhere: 2 checkpoints; test loss ")
    assert said[-1] == "Run `dvc repro report@elsewhere` to analyse and draw it."
    declared, folder = made.variants["elsewhere"], made.folder("elsewhere")
    assert declared.model == ADDITION.model
    assert declared.recipe.steps == 3000
    analysis.write_probe(made.config, folder)
    assert analysis.bring_up_to_date(made.config, folder, ["losses"])["losses"].computed == 2
    loaded = made.load("elsewhere")
    assert loaded.steps == (100, 3000)
    losses = loaded.artifact("losses")
    assert losses[3000].all_accuracy == 1
    assert losses[100].test_loss > 10 * losses[3000].test_loss
    record = json.loads(loaded.folder.record.read_text())
    assert record["metrics"]["test_loss"] == pytest.approx(losses[3000].test_loss)
    assert record["metrics"]["solved_step"] == 100  # the smaller outputs answer as right, with less between them
    assert "recipe" not in record  # nobody here knows how it was trained


def test_importing_again_writes_the_same_bytes_and_follows_the_files(made: Workspace) -> None:
    list(declare(made, "run", "elsewhere", TASK))
    before, variant = workspace.Workspace(made.root).bytes_of("artifacts"), made.variants["elsewhere"]
    bring_in(made, variant)
    assert workspace.Workspace(made.root).bytes_of("artifacts") == before
    (made.root / "run" / "100.safetensors").unlink()
    bring_in(made, variant)
    assert made.load("elsewhere").steps == (3000,)


def test_a_single_file_says_its_step_by_name_or_setting(made: Workspace) -> None:
    list(declare(made, "run/100.safetensors", "one", TASK))
    assert made.load("one").steps == (100,)
    (made.root / "run" / "100.safetensors").rename(made.root / "final.safetensors")
    with pytest.raises(MiscopeError, match=r"final\.safetensors does not say .* `imported\.step=40000`"):
        list(declare(made, "final.safetensors", "two", TASK))
    list(declare(made, "final.safetensors", "two", (*TASK, "imported.step=70")))
    assert made.load("two").steps == (70,)


@pytest.mark.parametrize(
    ("path", "settings", "sentence"),
    [
        ("nowhere", TASK, "nowhere, which `x` imports, does not exist"),
        ("artifacts", TASK, "does not exist"),
        ("run", (*TASK, "modulus"), "'modulus' is no setting; write key=value"),
        ("run", (*TASK, "recipe.steps=3"), "is no setting"),
        ("run", (*TASK, "seed=[1"), "not valid YAML"),
        ("run", ("family=modulo_addition", "modulus=13"), "does not fit the task, which has 14 tokens"),
        ("run", (*TASK, "imported.attention_rate=0.5"), r"attention_rate` = 0.5; allowed: 0 or 1"),
        ("run", (*TASK, "imported.sha=1"), "`sha` is unknown"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    made: Workspace, path: str, settings: tuple[str, ...], sentence: str
) -> None:
    before = (made.root / "params.yaml").read_bytes()
    with pytest.raises(MiscopeError, match=sentence):
        list(declare(made, path, "x", settings))
    assert (made.root / "params.yaml").read_bytes() == before
    assert not made.artifacts.exists()


def test_weights_of_another_shape_than_declared_are_refused(made: Workspace) -> None:
    list(declare(made, "run", "elsewhere", TASK))
    text = (made.root / "params.yaml").read_text()
    (made.root / "params.yaml").write_text(text.replace("d_mlp: 63", "d_mlp: 64"))
    with pytest.raises(MiscopeError, match=r"`d_mlp` = 63; params\.yaml says 64 in variants\.elsewhere\.model"):
        bring_in(made, made.variants["elsewhere"])


def test_the_command_and_the_stage_import(made: Workspace) -> None:
    command = [sys.executable, "-m", "miscope", "import", "run", "elsewhere", *TASK]
    done = subprocess.run(command, cwd=made.root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "Run `dvc repro report@elsewhere` to analyse and draw it."
    script = str(workspace.REPOSITORY / "stages" / "train.py")
    again = subprocess.run(
        [sys.executable, script, "elsewhere"], cwd=made.root, capture_output=True, text=True, check=True
    )
    assert again.stdout.startswith("elsewhere: 2 checkpoints, test loss ")
