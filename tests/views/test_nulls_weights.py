"""What views of weights say of matrices of few directions and straight paths, and of random ones."""

from collections.abc import Mapping

import numpy as np
import pytest
import synthetic
from judging import over, said
from synthetic import P, table_of

from miscope import catalog
from miscope.analyzers.singular_values import SingularValues, singular_values
from miscope.core import Checkpoint, ModelConfig
from miscope.instrument import Artifact
from miscope.trackers.weight_norms import WeightNorms, weight_norms
from miscope.views.shared import nulls

CONTEXT = synthetic.context()
MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=4, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
OF_MATRICES = [name for name in catalog.views() if name.startswith("singular_values.")]
OF_NORMS = [name for name in catalog.views() if name.startswith("weight_norms.")]

# ---------------------------------------------------------------- matrices


def spectra(*paths: Mapping[str, np.ndarray]) -> Artifact[SingularValues]:
    return over({100 * i: singular_values(Checkpoint(100 * i, MODEL, one), CONTEXT) for i, one in enumerate(paths)})


def gaussian(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"embed.W_E": (24, 32), "blocks.0.attn.W_Q": (2, 32, 8), "blocks.0.mlp.W_in": (32, 96)}
    return {name: rng.normal(0, 0.2, size=shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("view", OF_MATRICES)
def test_a_matrix_of_few_directions_is_beyond_random_ones_and_named(view: str) -> None:
    circle = np.stack([np.cos(np.arange(24)), np.sin(np.arange(24))], axis=1) @ gaussian(1)["embed.W_E"][:2]
    sentence = said(view, spectra(gaussian(0), gaussian(0) | {"embed.W_E": circle}))
    assert sentence.startswith(nulls.BEYOND)
    assert " of W_E " in sentence


@pytest.mark.parametrize("view", OF_MATRICES)
@pytest.mark.parametrize("heads_of", ["", "W_Q"])
def test_gaussian_matrices_are_within_random_ones_as_often_as_is_said(view: str, heads_of: str) -> None:
    sentences = [said(view, spectra(gaussian(seed)), heads_of=heads_of) for seed in range(100)]
    assert (
        sum(sentence.startswith(nulls.BEYOND) for sentence in sentences) <= 4
    )  # 1 is expected, 5 has a chance of 0.4 %
    uniform = {name: np.random.default_rng(0).uniform(-1, 1, w.shape) for name, w in gaussian(0).items()}
    assert said(view, spectra(uniform), heads_of=heads_of).startswith(nulls.WITHIN)


def test_matrices_of_one_direction_or_of_zeros_are_not_judged() -> None:
    flat = {"embed.W_E": np.zeros((4, 4)), "pos_embed.W_pos": np.ones((1, 8))}
    assert said("singular_values.overview", spectra(flat)) == "No null: no matrix has two directions or more."


def test_the_random_spectrum_is_drawn_beside_the_matrix_that_is_least_like_it() -> None:
    source = spectra(gaussian(0) | {"embed.W_E": np.diag(np.arange(1.0, 25.0))[:, :24] @ np.ones((24, 32))})
    table = table_of(catalog.view("singular_values.spectrum"), {"singular_values": source}, CONTEXT, 0)
    drawn = table[table["matrix"] == "random W_E"]["singular_value"].to_numpy()
    assert len(drawn) == 24
    norm = source[0].frobenius_norm[0]
    np.testing.assert_allclose(np.linalg.norm(drawn), norm, rtol=0.01)
    assert table[table["matrix"] == "W_E"]["singular_value"].max() > 2 * drawn.max()


# ---------------------------------------------------------------- paths


def path(*weights: np.ndarray) -> WeightNorms:
    return weight_norms({10 * i: Checkpoint(10 * i, MODEL, {"embed.W_E": w}) for i, w in enumerate(weights)}, CONTEXT)


def walked(seed: int, n: int = 20) -> list[np.ndarray]:
    return list(np.cumsum(np.random.default_rng(seed).normal(size=(n, 13, 32)), axis=0))


@pytest.mark.parametrize("view", OF_NORMS)
def test_weights_that_go_one_way_are_beyond_a_random_walk(view: str) -> None:
    way, start = np.random.default_rng(1).normal(size=(2, 13, 32))
    assert said(view, path(*(start + 0.3 * i * way for i in range(20)))).startswith(nulls.BEYOND)


@pytest.mark.parametrize("view", OF_NORMS)
def test_weights_that_walk_at_random_or_are_drawn_anew_are_within_it(view: str) -> None:
    redrawn = list(np.random.default_rng(2).normal(size=(20, 13, 32)))
    sentences = [said(view, path(*weights)) for weights in (redrawn, *map(walked, range(30)))]
    assert {sentence.partition(":")[0] for sentence in sentences} == {nulls.WITHIN}


def test_a_random_walk_in_as_many_directions_as_there_are_answers_stays_within_as_often_as_is_said() -> None:
    rng, frame = np.random.default_rng(3), np.linalg.qr(np.random.default_rng(4).normal(size=(13 * 32, P)))[0]
    walks = (np.cumsum(rng.normal(size=(12, P)) @ frame.T, axis=0).reshape(12, 13, 32) for _ in range(300))
    sentences = [said("weight_norms.overview", path(*walk)) for walk in walks]
    assert sum(sentence.startswith(nulls.BEYOND) for sentence in sentences) <= 9  # 3 are expected


@pytest.mark.parametrize("view", OF_NORMS)
def test_two_checkpoints_are_no_path(view: str) -> None:
    assert said(view, path(*walked(0, 2))) == "No null: a path takes three checkpoints that differ, or more."
