"""The command line: what is listed, in what state, and one line for a mistake."""

import re
import shutil
from pathlib import Path

import pytest
import workspace
from workspace import NOT_APPLICABLE, Workspace

from miscope import catalog
from miscope.views.shared import nulls

pytestmark = pytest.mark.pipeline

SCRIPTS = tuple(sorted((workspace.REPOSITORY / "stages").glob("*.py")))
N = len(catalog.instruments())


def miscope(made: Workspace, *words: str) -> list[str]:
    """The lines that `python -m miscope` prints."""
    return made.run("python", "-m", "miscope", *words).stdout.splitlines()


def state(made: Workspace, variant: str = "tiny") -> str:
    """What the list of variants says of one."""
    line = next(line for line in miscope(made, "variants") if line.startswith(f"{variant} "))
    return line[58:]


def assert_mistake(made: Workspace, sentence: str, *words: str) -> None:
    """The command fails with this one line, status 1, and nothing on stdout."""
    done = made.run(*words, is_checked=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {sentence}\n")


# ---------------------------------------------------------------- lists


def test_help_names_every_command(tiny_workspace: Workspace) -> None:
    text = "\n".join(miscope(tiny_workspace, "--help"))
    for command in ("families", "variants", "variant", "instruments", "views", "order"):
        assert f"\n    {command} " in text


def test_families_are_listed_with_their_settings(tiny_workspace: Workspace) -> None:
    lines = miscope(tiny_workspace, "families")
    assert [line.split()[0] for line in lines[::2]] == list(catalog.families())
    at = next(i for i, line in enumerate(lines) if line.startswith("modulo_addition          a + b mod p: "))
    assert lines[at + 1].strip() == "settings: modulus=113, train_fraction=0.3, operation='a + b'"


def test_every_instrument_is_listed_with_its_kind_and_first_sentence(tiny_workspace: Workspace) -> None:
    lines = miscope(tiny_workspace, "instruments")
    assert [line.split()[0] for line in lines] == list(catalog.instruments())
    assert "phases                   over training    The one classifier of phases" in "\n".join(lines)


def test_every_view_is_listed_with_its_question(tiny_workspace: Workspace) -> None:
    lines = miscope(tiny_workspace, "views")
    assert [line.split()[0] for line in lines] == list(catalog.views())
    assert all(line.endswith("?") for line in lines)


def test_every_view_of_a_variant_says_whether_it_is_beyond_chance(tiny_workspace: Workspace) -> None:
    said = dict(line.split(maxsplit=1) for line in miscope(tiny_workspace, "nulls", "tiny"))
    assert set(said) == {view for view in catalog.views() if workspace.is_shown(view)}
    assert {sentence.partition(":")[0] for sentence in said.values()} <= {nulls.BEYOND, nulls.WITHIN, nulls.NONE}


def test_what_moved_first_is_told_of_two_instruments_or_of_one_measure(tiny_workspace: Workspace) -> None:
    first, *pairs = miscope(tiny_workspace, "order", "modulo_addition")
    assert first == "2 variants: tiny, untrained"
    named = [re.findall(r"[a-z_]+\.[a-z_0-9]+", line) for line in pairs]
    assert named and all(one.partition(".")[0] != other.partition(".")[0] for one, other in named)
    _, *asked = miscope(tiny_workspace, "order", "modulo_addition", "losses.train_loss")
    assert asked and all("losses.train_loss" in line for line in asked)


def test_a_measure_that_did_not_move_is_one_line_that_names_the_nearest(tiny_workspace: Workspace) -> None:
    words = ("python", "-m", "miscope", "order", "modulo_addition", "losses.trainloss")
    assert_mistake(
        tiny_workspace, "No measure `losses.trainloss` moved; the nearest that did: losses.train_loss.", *words
    )


def test_a_variant_is_shown_instrument_by_instrument(tiny_workspace: Workspace) -> None:
    head, *rest = miscope(tiny_workspace, "variant", "tiny")
    assert head == "tiny: modadd_p13_s1_d1_f0.5, 11 checkpoints"
    for name, line in zip(catalog.instruments(), rest, strict=True):
        assert line.split()[:2] == ([name, "not"] if name in NOT_APPLICABLE else [name, "fresh"])


def test_the_workspace_may_be_elsewhere(tiny_workspace: Workspace, tmp_path: Path) -> None:
    source = str(tiny_workspace.path / "src")
    (tmp_path / "src").symlink_to(source)
    lines = miscope(Workspace(tmp_path), "--root", str(tiny_workspace.path), "variants")
    assert [line.split()[0] for line in lines] == ["tiny", "untrained"]


# ---------------------------------------------------------------- states


def test_a_variant_without_checkpoints_is_untrained(tiny_workspace: Workspace) -> None:
    assert state(tiny_workspace, "untrained") == "untrained: run `dvc repro report@untrained`"
    head, *rest = miscope(tiny_workspace, "variant", "untrained")
    assert head == "untrained: modadd_p17_s2_d0_f0.3, 0 checkpoints"
    assert all(line.endswith("missing          `untrained` is not trained. Run `dvc repro report@untrained`.")
               for line in rest)  # fmt: skip


def test_a_variant_whose_artifacts_are_all_fresh_is_analysed(tiny_workspace: Workspace) -> None:
    assert state(tiny_workspace) == "analysed"


def test_after_an_edit_to_an_instrument_the_variant_is_stale(own_copy: Workspace) -> None:
    own_copy.edit("src/miscope/analyzers/attention_patterns.py", '"""', '"""An edit. ')
    assert state(own_copy) == f"stale: 1 of {N} instruments; run `dvc repro report@tiny`"
    line = next(line for line in miscope(own_copy, "variant", "tiny") if "attention_patterns" in line)
    assert "stale            `attention_patterns` of `tiny` is stale: the instrument's code has changed since" in line
    assert line.endswith("Run `dvc repro report@tiny`.")


def test_a_variant_that_lacks_an_artifact_is_trained(own_copy: Workspace) -> None:
    shutil.rmtree(own_copy.path / "artifacts/tiny/instruments/singular_values")
    assert state(own_copy) == f"trained: 2 of {N} instruments missing; run `dvc repro report@tiny`"  # and the phases
    shutil.rmtree(own_copy.path / "artifacts/tiny/checkpoints")
    assert state(own_copy) == "untrained: run `dvc repro report@tiny`"


def test_one_damaged_file_does_not_hide_the_other_variants(own_copy: Workspace) -> None:
    own_copy.edit("params.yaml", "\ninstruments:", f"{workspace.UNTRAINED}\ninstruments:")
    for damaged in ("instruments/losses/000020.npz", "checkpoints/000020.safetensors"):
        path = own_copy.path / "artifacts/tiny" / damaged
        path.write_bytes(path.read_bytes()[:100])
        assert state(own_copy).startswith("stale")
        assert state(own_copy, "untrained").startswith("untrained")


# ---------------------------------------------------------------- mistakes


def test_a_misspelt_variant_is_one_line_in_every_command_and_stage(tiny_workspace: Workspace) -> None:
    sentence = "params.yaml declares no variant `tyni`; it declares: tiny, untrained."
    assert_mistake(tiny_workspace, sentence, "python", "-m", "miscope", "variant", "tyni")
    for stage in ("train", "probe", "analyze", "render"):
        assert_mistake(tiny_workspace, sentence, "python", f"stages/{stage}.py", "tyni")
    assert not (tiny_workspace.path / "artifacts/tyni").exists()


@pytest.mark.parametrize("words", [("analyze", "tyni", "losses"), ("report", "tyni")])
def test_a_stage_on_a_misspelt_variant_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], tiny_workspace: Workspace
) -> None:
    done = tiny_workspace.run("python", f"stages/{words[0]}.py", *words[1:], is_checked=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "tyni" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tiny_workspace.path / "artifacts/tyni").exists()


def test_a_misspelt_instrument_is_one_line_that_names_the_nearest(tiny_workspace: Workspace) -> None:
    sentence = "There is no instrument `lossses`. Did you mean `losses`?"
    assert_mistake(tiny_workspace, sentence, "python", "stages/analyze.py", "tiny", "lossses")


def test_a_folder_without_params_is_one_line(tiny_workspace: Workspace, tmp_path: Path) -> None:
    sentence = f"{tmp_path}/params.yaml does not exist; run from the folder that holds params.yaml."
    assert_mistake(tiny_workspace, sentence, "python", "-m", "miscope", "--root", str(tmp_path), "variants")


def test_an_unknown_command_names_those_that_there_are(tiny_workspace: Workspace) -> None:
    done = tiny_workspace.run("python", "-m", "miscope", "vairants", is_checked=False)
    assert done.returncode == 2
    assert "invalid choice: 'vairants'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_stage_explains_itself(script: Path, tiny_workspace: Workspace) -> None:
    name = f"stages/{script.name}"
    asked = tiny_workspace.run("python", name, "--help")
    assert f": python {name}" in asked.stdout
    assert asked.stderr == ""
    needs_a_name = " VARIANT" in asked.stdout or " STUDY" in asked.stdout
    wrong = tiny_workspace.run("python", name, *([] if needs_a_name else ["nonsense"]), is_checked=False)
    assert (wrong.returncode, wrong.stdout, wrong.stderr) == (2, "", asked.stdout)
