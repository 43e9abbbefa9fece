"""`python -m miscope run` leaves what `dvc repro` leaves: the same outs and locks, whatever happens on the way."""

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import workspace
from ruamel.yaml import YAML
from workspace import Workspace

pytestmark = pytest.mark.pipeline

TARGETS = ("stages/phases/dvc.yaml:render@tiny", "stages/weight_norms/dvc.yaml:analyze@tiny")
TIMED = {"tiny/metrics.json", "tiny/variant.json"}  # they say how many seconds the training took


def outs(made: Workspace) -> dict[str, bytes]:
    """All that stages leave, without states to resume from and logs."""
    files = made.bytes_of("artifacts")
    return {name: c for name, c in files.items() if not re.search(r"\.jobs/|/resume/", name) and name not in TIMED}


def locks(made: Workspace) -> dict[str, object]:
    """Lock file -> its stages, in order; digests of timed files left out."""
    read = {str(path.relative_to(made.path)): path.read_text() for path in sorted(made.path.rglob("dvc.lock"))}
    loaded = {name: YAML(typ="safe").load(text) for name, text in read.items()}
    for lock in loaded.values():
        for stage in lock["stages"].values():
            for each in stage.get("outs", []):
                if each["path"].removeprefix("artifacts/") in TIMED:
                    del each["md5"], each["size"]
    return {name: [(stage, lock["stages"][stage]) for stage in lock["stages"]] for name, lock in loaded.items()}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Made by `dvc repro`."""
    made = workspace.create(tmp_path_factory.mktemp("reproduced") / "made")
    made.repro(*TARGETS)
    return made


def test_outs_and_locks_are_those_of_dvc_repro_and_each_finds_the_other_s_fresh(
    reproduced: Workspace, tmp_path: Path
) -> None:
    made = workspace.create(tmp_path / "made")
    assert made.make(*TARGETS)[-1] == "8 stages ran, 0 were up to date, 0 failed."
    assert outs(made) == outs(reproduced)
    assert locks(made) == locks(reproduced)
    assert made.repro(*TARGETS) == set()
    assert reproduced.make(*TARGETS)[-1] == "0 stages ran, 8 were up to date, 0 failed."


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_any_moment_it_goes_on_to_the_same_outs_and_locks(
    how: signal.Signals, reproduced: Workspace, tmp_path: Path
) -> None:
    made, rng = workspace.create(tmp_path / "made"), random.Random(how)
    environment = {"PYTHONPATH": str(made.path / "src"), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "miscope", "run", *TARGETS], cwd=made.path, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        time.sleep(rng.uniform(1, 9))
        process.send_signal(how)
        assert process.wait(30) is not None
    assert made.make(*TARGETS)[-1].endswith(" 0 failed.")
    assert outs(made) == outs(reproduced)
    assert {name: dict(stages) for name, stages in locks(made).items()} == {
        name: dict(stages) for name, stages in locks(reproduced).items()
    }
    assert made.repro(*TARGETS) == set()


def test_an_unknown_target_is_one_line(reproduced: Workspace) -> None:
    done = reproduced.run("python", "-m", "miscope", "run", "report@tyni", is_checked=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "report@tyni" in done.stderr and "Traceback" not in done.stderr
