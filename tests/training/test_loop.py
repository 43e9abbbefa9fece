"""The training loop: same variant, same bytes; whole files whatever happens."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import workspace
from trainings import FAMILY, trainer, variant

from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights
from miscope.training.loop import train
from miscope.workspace import files, store

STEPS = (0, 25, 60)


def test_the_same_variant_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (files.Folder(tmp_path / name) for name in ("one", "two"))
    train(variant(*STEPS), one)
    torch.manual_seed(0)  # what others do with the global generator does not matter
    train(variant(*STEPS), two)
    for left, right in ((one.curves, two.curves), *((one.checkpoint(s), two.checkpoint(s)) for s in STEPS)):
        assert left.read_bytes() == right.read_bytes()


def test_the_curve_has_each_evaluation_and_each_checkpoint_once(tmp_path: Path) -> None:
    folder = files.Folder(tmp_path / "v")
    train(variant(*STEPS, eval_every=20), folder)
    with folder.curves.open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [0, 20, 25, 40, 60]
    assert folder.checkpoint_steps() == (0, 25, 60)


def test_the_losses_are_those_of_the_checkpoint_in_float64(tmp_path: Path) -> None:
    folder = files.Folder(tmp_path / "v")
    train(variant(*STEPS), folder)
    with folder.curves.open() as file:
        curve = {int(row["step"]): row for row in csv.DictReader(file)}
    split = FAMILY.split(1)
    for step in folder.checkpoint_steps():
        checkpoint = store.load_checkpoint(folder.checkpoint(step))
        model = load_weights(Transformer(checkpoint.model), checkpoint.weights)
        with torch.no_grad():
            logits = model(torch.from_numpy(split.test.tokens), query_positions=(2,))[:, 0].double().numpy()
        log_z = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        right = logits[np.arange(len(logits)), split.test.targets[:, 0]]
        assert float(curve[step]["test_loss"]) == pytest.approx(float((log_z - right).mean()), rel=1e-6)
        assert float(curve[step]["test_accuracy"]) == (logits.argmax(1) == split.test.targets[:, 0]).mean()


def test_the_record_says_what_was_trained_on_what_and_at_what_cost(tmp_path: Path) -> None:
    folder = files.Folder(tmp_path / "v")
    train(variant(*STEPS), folder)
    record = json.loads(folder.record.read_text())
    assert record["seeds"] == {"seed": 1, "data_seed": 1}
    assert record["tokens"] == 60 * 84 * 3
    assert record["parameters"] == 14 * 32 + 3 * 32 + 4 * 32 * 32 + 2 * 32 * 64 + 32 * 13
    assert record["flops_6nd"] == 6 * (4 * 32 * 32 + 2 * 32 * 64 + 32 * 13) * record["tokens"]
    assert record["versions"]["torch"] == torch.__version__
    assert json.loads(folder.metrics.read_text()) == record["metrics"]
    assert "solved_step" not in record["metrics"]  # 60 steps do not generalise, and what did not happen is absent


def test_a_loss_that_is_not_finite_names_the_step_and_what_to_change(tmp_path: Path) -> None:
    said = r"train loss of `tiny` is (nan|inf) at step \d+; lower variants.tiny.learning_rate"
    with pytest.raises(MiscopeError, match=said):
        train(variant(learning_rate=1e6, weight_decay=0.0), files.Folder(tmp_path / "v"))


def test_training_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trainer(variant()).advance()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_whole_files_only(how: signal.Signals, tmp_path: Path) -> None:
    made = workspace.create(
        tmp_path / "w", workspace.TINY.replace("steps: 200", "steps: 100000").replace("every: 20", "every: 5")
    )
    environment = os.environ | {"PYTHONPATH": str(made.path / "src")}
    process = subprocess.Popen(
        [sys.executable, "stages/train.py", "tiny"], cwd=made.path, env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )  # fmt: skip
    folder = files.folder_of(made.path, "tiny")
    _wait_for(lambda: len(folder.checkpoint_steps()) > 3)
    time.sleep(random.Random(how).random() * 0.2)
    process.send_signal(how)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Traceback" not in errors
    steps = folder.checkpoint_steps()
    assert len(steps) > 3
    for step in steps:
        assert store.load_checkpoint(folder.checkpoint(step)).step == step
    assert not folder.record.exists()


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)
