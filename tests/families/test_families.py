"""What every family must hold, found by discovery, and the labels of each by brute force."""

import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from miscope import catalog
from miscope.core import Family, MiscopeError, Variant
from miscope.families._contract import check_family
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.device import device_for
from miscope.training.trainer import lone
from miscope.workspace import configuration

FAMILIES = catalog.families()
STREAMING = [name for name in FAMILIES if catalog.family(name)().stream(0, 0, 1) is not None]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return catalog.family(request.param)()


def test_settings_have_defaults_and_are_frozen(family: Family) -> None:
    assert fields(family)
    with pytest.raises(AttributeError):
        setattr(family, fields(family)[0].name, None)


def test_the_split_is_disjoint_and_the_same_for_the_same_seed(family: Family) -> None:
    split, again, other = family.split(1), family.split(1), family.split(2)
    np.testing.assert_array_equal(split.train.tokens, again.train.tokens)
    assert not np.array_equal(split.train.tokens, other.train.tokens)
    train, test = ({tuple(row) for row in part.tokens} for part in (split.train, split.test))
    assert train
    assert not train & test


def test_the_probe_says_when_the_task_is_solved_as_the_family_does(family: Family) -> None:
    context = family.context(1)
    assert context.solved_accuracy == family.solved_accuracy
    assert context.solved_loss >= family.solved_loss  # a task whose answers cannot all be known has a floor above it


@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_is_decided_by_seed_and_step(name: str) -> None:
    family = catalog.family(name)()
    first, again, later, other = (family.stream(*asked, 4) for asked in ((1, 7), (1, 7), (1, 8), (2, 7)))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert not np.array_equal(first.tokens, later.tokens)
    assert not np.array_equal(first.tokens, other.tokens)
    assert first.targets.shape == (4, len(family.positions()))


def test_the_probe_is_fixed_and_marks_what_is_trained_on(family: Family) -> None:
    context, again = family.context(1), family.context(1)
    np.testing.assert_array_equal(context.probe.tokens, again.probe.tokens)
    np.testing.assert_array_equal(context.probe.is_train, again.probe.is_train)
    split = family.split(1)
    if split.train.tokens.shape[1] == context.probe.tokens.shape[1] and family.stream(1, 0, 1) is None:
        trained = {tuple(row) for row in split.train.tokens}
        marks = np.array([tuple(row) in trained for row in context.probe.tokens])
        np.testing.assert_array_equal(context.probe.is_train, marks)


def test_tokens_and_answers_fit_the_model(family: Family) -> None:
    model, context = family.model(), family.context(1)
    check_family(family, "")
    for labels in context.latents.values():
        assert len(labels) == len(context.probe.tokens)
    if context.probe.corrupted is not None:
        assert context.probe.corrupted.shape == context.probe.tokens.shape
        assert context.probe.corrupted.max() < model.d_vocab
    if context.probe.distractors is not None:
        assert not (context.probe.distractors == context.probe.targets).any()
    if context.probe.allowed is not None:
        assert context.probe.allowed[np.arange(len(context.probe.targets)), context.probe.targets].all()


def test_the_recipe_runs_and_learns_something_in_twenty_steps(family: Family) -> None:
    recipe = family.recipe()
    trainer = lone(Variant("v", "f", family, 1, 1, family.model(), recipe, (0,)), device_for(recipe))
    before = trainer.models[0].evaluate(0)
    for _ in range(20):
        trainer.advance()
    after = trainer.models[0].evaluate(20)
    assert after.train_loss < before.train_loss
    assert math.isfinite(after.test_loss)
    assert 0 <= after.test_accuracy <= 1
    assert {f"{split}_{name}" for split in ("train", "test") for name in _metrics(family)} == set(after.metrics)


def _metrics(family: Family) -> set[str]:
    """Of the family's own, on logits that say nothing."""
    examples, model = family.split(1).test, family.model()
    return set(family.metrics(np.zeros((*examples.targets.shape, model.d_vocab_out), np.float32), examples))


def test_it_has_a_control_that_params_may_declare(family: Family, tmp_path: Path) -> None:
    assert family.controls
    name = next(name for name in FAMILIES if type(family) is catalog.family(name))
    plain = configuration.variant("v", {"family": name, "seed": 1}, tmp_path)
    for sentence, changes in family.controls.items():
        assert sentence.endswith(".")
        control = configuration.variant("v", {"family": name, "seed": 1, **changes}, tmp_path)
        assert control.declaration() != plain.declaration()


def test_the_basis_is_orthonormal(family: Family) -> None:
    matrix = family.context(1).basis.matrix
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-12)


def test_modulo_addition_answers_are_sums_by_brute_force() -> None:
    context = ModuloAddition(7, 0.5).context(3)
    expected = [(a, b, 7, (a + b) % 7) for a in range(7) for b in range(7)]
    rows = zip(context.probe.tokens.tolist(), context.probe.targets.tolist(), strict=True)
    assert [(*tokens, answer) for tokens, answer in rows] == expected


@pytest.mark.parametrize(
    ("operation", "n", "expected"),
    [
        ("a - b", 49, lambda a, b: (a - b) % 7),
        ("a * b", 49, lambda a, b: a * b % 7),
        ("a / b", 42, lambda a, b: a * pow(b, -1, 7) % 7),
        ("a**3 + a*b", 49, lambda a, b: (a**3 + a * b) % 7),
    ],
)
def test_other_operations_by_brute_force(operation: str, n: int, expected: Callable[[int, int], int]) -> None:
    context = ModuloAddition(7, 0.5, operation).context(3)
    assert len(context.probe.tokens) == n
    assert (context.grid is None) == (n < 49)
    assert context.basis.is_native == (operation == "a - b")
    for (a, b, equals), answer in zip(context.probe.tokens.tolist(), context.probe.targets.tolist(), strict=True):
        assert (equals, answer) == (7, expected(a, b))


def test_the_calibration_split_is_the_published_one() -> None:
    split = ModuloAddition(113, 0.3).split(598)
    assert (len(split.train), len(split.test)) == (3830, 8939)
    assert split.train.tokens[:5, :2].tolist() == [[21, 31], [30, 98], [47, 10], [86, 21], [99, 83]]


REFUSED: list[tuple[str, dict[str, object], str]] = [
    *(("modulo_addition", {"modulus": n}, f"`modulus` = {n}; allowed: a prime from 3 to 997")
      for n in (-3, 1, 2, 4, 111, 1009)),
    *(("modulo_addition", {"operation": text}, f"`operation` = '{text}'; allowed: a and b joined by")
      for text in ("a + c", "a //", "a**99")),
    *(("parity", {"n_bits": n}, f"`n_bits` = {n}; allowed: 4 to 14") for n in (3, 15)),
    ("parity", {"train_fraction": 1.0}, "`train_fraction` = 1.0; allowed: above 0 and below 1"),
    ("parity", {"n_bits": 4, "train_fraction": 0.01}, "`train_fraction` = 0.01; allowed"),
    ("sparse_parity", {"n_bits": 3}, "`n_bits` = 3; allowed: 4 to 60"),
    *(("sparse_parity", {"n_relevant": n}, f"`n_relevant` = {n}; allowed: 1 to 12") for n in (0, 13)),
    ("sparse_parity", {"n_bits": 4, "n_train": 13}, "`n_train` = 13; allowed: 1 to 12, or 0 for a stream"),
    ("induction_heads", {"length": 7}, "`length` = 7; allowed: 8 to 512"),
    ("induction_heads", {"min_period": 2}, "`min_period` = 2; allowed: 3 to 23"),
    *(("induction_heads", {"max_period": n}, f"`max_period` = {n}; allowed: 5 to 23") for n in (3, 24)),
    ("induction_heads", {"test_periods": ()}, "`test_periods` = []; allowed: one or more from 3 to 23"),
    ("induction_heads", {"test_periods": (24,)}, "`test_periods` = [24]; allowed"),
    ("induction_heads", {"n_tokens": 19}, "`n_tokens` = 19; allowed: 20"),
    ("induction_heads", {"max_period": 4}, "`max_period` = 4 equals `min_period`: a fixed period is solved by looking"),
    ("induction_heads", {"max_period": 5, "test_periods": (4,)},
     "`test_periods` = [4] leaves 1 period to train on; a fixed period"),
    *(("indirect_object", {"n_names": n}, f"`n_names` = {n}; allowed: 3 to 50") for n in (0, 2, 51)),
    *(("indirect_object", {"n_names": 4, "train_fraction": x}, f"`train_fraction` = {x}") for x in (0.0, 1.0, 0.01)),
    ("othello", {"board": 5}, "`board` = 5; allowed: "),
    ("othello", {"n_games": 10}, "`n_games` = 10; allowed: "),
    ("othello", {"test_fraction": 0.9}, "`test_fraction` = 0.9; allowed: "),
    ("text", {"length": 3}, "`length` = 3; allowed: 4 to 1024"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "said"), REFUSED)
def test_settings_out_of_range_are_refused_in_one_line(name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(MiscopeError, match=re.escape(said)) as caught:
        catalog.family(name)(**settings)
    assert "\n" not in str(caught.value)
