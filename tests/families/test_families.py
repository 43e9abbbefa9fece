"""What every family must hold, found by discovery, and the labels of each by brute force."""

from dataclasses import fields

import numpy as np
import pytest

from miscope import catalog
from miscope.core import Family, MiscopeError
from miscope.families.modulo_addition import ModuloAddition

FAMILIES = catalog.families()


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


def test_the_probe_is_fixed_and_marks_what_is_trained_on(family: Family) -> None:
    context, again = family.context(1), family.context(1)
    np.testing.assert_array_equal(context.probe.tokens, again.probe.tokens)
    trained = {tuple(row) for row in family.split(1).train.tokens}
    marks = np.array([tuple(row) in trained for row in context.probe.tokens])
    np.testing.assert_array_equal(context.probe.is_train, marks)


def test_tokens_and_answers_fit_the_model(family: Family) -> None:
    model, probe = family.model(), family.context(1).probe
    assert probe.tokens.max() < model.d_vocab
    assert probe.targets.max() < model.d_vocab_out
    assert probe.tokens.shape[1] <= model.n_ctx


def test_the_basis_is_orthonormal(family: Family) -> None:
    matrix = family.context(1).basis.matrix
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-12)


def test_modulo_addition_answers_are_sums_by_brute_force() -> None:
    context = ModuloAddition(7, 0.5).context(3)
    expected = [(a, b, 7, (a + b) % 7) for a in range(7) for b in range(7)]
    found = [
        (*map(int, tokens), int(answer))
        for tokens, answer in zip(context.probe.tokens, context.probe.targets, strict=True)
    ]
    assert found == expected


def test_the_calibration_split_is_the_published_one() -> None:
    split = ModuloAddition(113, 0.3).split(598)
    assert (len(split.train), len(split.test)) == (3830, 8939)
    assert split.train.tokens[:5, :2].tolist() == [[21, 31], [30, 98], [47, 10], [86, 21], [99, 83]]


@pytest.mark.parametrize("modulus", [-3, 1, 2, 4, 111, 1009])
def test_a_modulus_that_is_not_an_odd_prime_below_1000_is_refused(modulus: int) -> None:
    with pytest.raises(MiscopeError, match=f"`modulus` = {modulus}; allowed: a prime from 3 to 997"):
        ModuloAddition(modulus=modulus)
