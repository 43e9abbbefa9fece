"""Weights from elsewhere, brought into a workspace by the command and analysed as any variant's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import workspace
from safetensors.numpy import save_file

from miscope import api, importing
from miscope.calibration.models import Addition
from miscope.core import MiscopeError
from miscope.workspace import analysis, configuration

ADDITION = Addition(p=11, frequencies=(2, 3, 5), gains=(3.0, 2.0, 1.0), n_phases=21)
TASK = ("family=modulo_addition", "modulus=11", "train_fraction=0.4", "data_seed=0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace without variants, and weights beside it at two steps."""
    shipped = (workspace.REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(f"variants: {{}}\ninstruments:{shipped.partition('instruments:')[2]}")
    (tmp_path / "run").mkdir()
    made = ADDITION.checkpoint().weights
    for step, size in ((100, 0.1), (3000, 1.0)):
        save_file(
            {n: size * w if n == "unembed.W_U" else w for n, w in made.items()}, tmp_path / f"run/{step}.safetensors"
        )
    return tmp_path


def test_a_folder_of_weights_becomes_a_variant_that_instruments_analyse(root: Path) -> None:
    said = list(importing.declare(root, "run", "elsewhere", TASK))
    assert said[-2].startswith("elsewhere: 2 checkpoints; test loss ")
    assert said[-1] == "Run `dvc repro report@elsewhere` to analyse and draw it."
    declared = configuration.load(root).variant("elsewhere")
    assert declared.model == ADDITION.model
    assert declared.recipe.steps == 3000
    analysis.write_probe(root, "elsewhere")
    assert analysis.bring_up_to_date(root, "elsewhere", "losses").computed == 2
    loaded = api.load_variant("elsewhere", root)
    assert loaded.steps == (100, 3000)
    losses = loaded.artifact("losses")
    assert losses[3000].all_accuracy == 1
    assert losses[100].test_loss > 10 * losses[3000].test_loss
    record = json.loads(loaded.folder.record.read_text())
    assert record["metrics"]["test_loss"] == pytest.approx(losses[3000].test_loss)
    assert record["metrics"]["solved_step"] == 100  # the smaller outputs answer as right, with less between them
    assert "recipe" not in record  # nobody here knows how it was trained


def test_importing_again_writes_the_same_bytes_and_follows_the_files(root: Path) -> None:
    list(importing.declare(root, "run", "elsewhere", TASK))
    made = workspace.Workspace(root)
    before, variant = made.bytes_of("artifacts"), configuration.load(root).variant("elsewhere")
    importing.bring_in(root, variant)
    assert made.bytes_of("artifacts") == before
    (root / "run" / "100.safetensors").unlink()
    importing.bring_in(root, variant)
    assert api.load_variant("elsewhere", root).steps == (3000,)


def test_a_single_file_says_its_step_by_name_or_setting(root: Path) -> None:
    list(importing.declare(root, "run/100.safetensors", "one", TASK))
    assert api.load_variant("one", root).steps == (100,)
    (root / "run" / "100.safetensors").rename(root / "final.safetensors")
    with pytest.raises(MiscopeError, match=r"final\.safetensors does not say .* `imported\.step=40000`"):
        list(importing.declare(root, "final.safetensors", "two", TASK))
    list(importing.declare(root, "final.safetensors", "two", (*TASK, "imported.step=70")))
    assert api.load_variant("two", root).steps == (70,)


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
    root: Path, path: str, settings: tuple[str, ...], sentence: str
) -> None:
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(MiscopeError, match=sentence):
        list(importing.declare(root, path, "x", settings))
    assert (root / "params.yaml").read_bytes() == before
    assert not (root / "artifacts").exists()


def test_weights_of_another_shape_than_declared_are_refused(root: Path) -> None:
    list(importing.declare(root, "run", "elsewhere", TASK))
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("d_mlp: 63", "d_mlp: 64"))
    with pytest.raises(MiscopeError, match=r"`d_mlp` = 63; params\.yaml says 64 in variants\.elsewhere\.model"):
        importing.bring_in(root, configuration.load(root).variant("elsewhere"))


def test_the_command_and_the_stage_import(root: Path) -> None:
    command = [sys.executable, "-m", "miscope", "import", "run", "elsewhere", *TASK]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "Run `dvc repro report@elsewhere` to analyse and draw it."
    script = str(workspace.REPOSITORY / "stages" / "train.py")
    again = subprocess.run([sys.executable, script, "elsewhere"], cwd=root, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("elsewhere: 2 checkpoints, test loss ")
