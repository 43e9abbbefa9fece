"""The command line: what is listed, in what state, and one line for a mistake."""

import re
import shutil
from pathlib import Path

import pytest
import workspace
from workspace import NOT_APPLICABLE, Workspace

from miscope import catalog
from miscope.__main__ import COMMANDS
from miscope.catalog import builtin

pytestmark = pytest.mark.pipeline

SCRIPTS = tuple(sorted((workspace.REPOSITORY / "stages").glob("*.py")))
N = len(builtin().names)


def miscope(made: Workspace, *words: str) -> list[str]:
    """The lines that `python -m miscope` prints."""
    return made.run("python", "-m", "miscope", *words).stdout.splitlines()


def state(made: Workspace, variant: str = "tiny") -> str:
    """What the list of variants says of one."""
    line = next(line for line in miscope(made, "variants") if line.startswith(f"{variant} "))
    return line[58:]


# ---------------------------------------------------------------- lists


def test_help_names_every_command(tiny_workspace: Workspace) -> None:
    text = "\n".join(miscope(tiny_workspace, "--help"))
    assert [command for command in COMMANDS if f"\n    {command} " not in text] == []


def test_families_are_listed_with_their_settings(tiny_workspace: Workspace) -> None:
    lines = miscope(tiny_workspace, "families")
    assert [line.split()[0] for line in lines[::2]] == list(catalog.families())
    at = next(i for i, line in enumerate(lines) if line.startswith("modulo_addition          a + b mod p: "))
    assert lines[at + 1].strip() == "settings: modulus=113, train_fraction=0.3, operation='a + b'"


def test_every_instrument_is_listed_with_its_first_sentence_and_every_view_with_its_question(
    tiny_workspace: Workspace,
) -> None:
    instruments, views = miscope(tiny_workspace, "instruments"), miscope(tiny_workspace, "views")
    assert [line.split()[0] for line in instruments] == list(builtin().names)
    assert "phases                       over training    The one classifier of phases" in "\n".join(instruments)
    assert [line.split()[0] for line in views] == list(builtin().views())
    assert all(line.endswith("?") for line in views)


def test_every_view_of_a_variant_says_whether_it_is_beyond_chance(tiny_workspace: Workspace) -> None:
    nulls = dict(line.split(maxsplit=1) for line in miscope(tiny_workspace, "nulls", "tiny"))
    assert set(nulls) == {view for view in builtin().views() if workspace.is_shown(view)}
    verdicts = {sentence.partition(":")[0] for sentence in nulls.values()}
    assert verdicts <= {"Beyond its null", "Within its null", "No null"}


def test_what_moved_first_is_told_of_two_instruments_or_of_one_measure(tiny_workspace: Workspace) -> None:
    first, *pairs = miscope(tiny_workspace, "lead_lag", "modulo_addition")
    assert first == "2 variants: tiny, untrained"
    named = [re.findall(r"[a-z_]+\.[a-z_0-9]+", line) for line in pairs]
    assert named and all(one.partition(".")[0] != other.partition(".")[0] for one, other in named)
    _, *pairs = miscope(tiny_workspace, "lead_lag", "modulo_addition", "losses.train_loss")
    assert pairs and all("losses.train_loss" in line for line in pairs)


def test_root_is_where_the_workspace_lies(tiny_workspace: Workspace) -> None:
    lines = miscope(Workspace(workspace.REPOSITORY), "--root", str(tiny_workspace.path), "variants")
    assert [line.split()[0] for line in lines] == ["tiny", "untrained"]


# ---------------------------------------------------------------- states


def test_a_variant_without_checkpoints_is_untrained_and_one_whose_artifacts_are_fresh_is_analysed(
    tiny_workspace: Workspace,
) -> None:
    assert state(tiny_workspace) == "analysed"
    head, *rest = miscope(tiny_workspace, "variant", "tiny")
    assert head == "tiny: modadd_p13_s1_d1_f0.5, 11 checkpoints"
    for name, line in zip(builtin().names, rest, strict=True):
        assert line.split()[:2] == ([name, "not"] if name in NOT_APPLICABLE else [name, "fresh"])
    assert state(tiny_workspace, "untrained") == "untrained: run `dvc repro report@untrained`"
    head, *rest = miscope(tiny_workspace, "variant", "untrained")
    assert head == "untrained: modadd_p17_s2_d0_f0.3, 0 checkpoints"
    sentence = "missing          `untrained` is not trained. Run `dvc repro report@untrained`."
    assert len(rest) == N and all(line.endswith(sentence) for line in rest)


def test_after_an_edit_to_an_instrument_the_variant_is_stale(own_copy: Workspace) -> None:
    measure = "src/miscope/instruments/attention_patterns/measure.py"
    own_copy.edit(measure, "\ninstrument = ", "\nEDITED = 1\ninstrument = ")
    assert state(own_copy) == f"stale: 1 of {N} instruments stale; run `dvc repro report@tiny`"
    line = next(line for line in miscope(own_copy, "variant", "tiny") if "attention_patterns" in line)
    assert "stale            `attention_patterns` of `tiny` is stale: the code that makes it has changed" in line
    assert line.endswith("Run `dvc repro report@tiny`.")


def test_a_variant_that_lacks_an_artifact_is_trained(own_copy: Workspace) -> None:
    shutil.rmtree(own_copy.path / "artifacts/tiny/instruments/singular_values")
    both = f"trained: 2 of {N} instruments missing; run `dvc repro report@tiny`"  # and the phases
    assert state(own_copy) == both
    shutil.rmtree(own_copy.path / "artifacts/tiny/checkpoints")
    assert state(own_copy) == "untrained: run `dvc repro report@tiny`"


# ---------------------------------------------------------------- mistakes

TYPO = "params.yaml declares no variant `tyni`; it declares: tiny, untrained."


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-m miscope variant tyni", TYPO),
        ("-m miscope twin tiny", "the command `twin` is called `control` now."),
        *((f"stages/{stage}.py tyni", TYPO) for stage in ("train", "probe", "report")),
        *((f"stages/{stage}.py tyni losses", TYPO) for stage in ("analyze", "render")),
        ("stages/analyze.py tiny lossses", "There is no instrument `lossses`. Did you mean `losses`?"),
        (
            "-m miscope lead_lag modulo_addition losses.trainloss",
            "No variant has an onset of `losses.trainloss`; the nearest measure that has one: losses.train_loss.",
        ),
        (
            "-m miscope --root artifacts variants",
            "artifacts/params.yaml does not exist; run from the folder that holds params.yaml.",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words: str, sentence: str, tiny_workspace: Workspace) -> None:
    done = tiny_workspace.run("python", *words.split(), is_checked=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {sentence}\n")
    assert not (tiny_workspace.path / "artifacts/tyni").exists()


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
