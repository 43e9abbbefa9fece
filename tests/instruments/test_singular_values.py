"""Spectra of matrices whose singular values are known."""

from collections import Counter

import calibration_model
import numpy as np
import pytest
from judging import CONTEXT, judged, path

from miscope.calibration.models import shape
from miscope.catalog import builtin
from miscope.core import Checkpoint, MiscopeError
from miscope.families.modulo_addition import ModuloAddition
from miscope.instrument import Artifact
from miscope.instruments.singular_values.measure import SingularValues, nulls, singular_values


def measured(weights: dict[str, np.ndarray]) -> SingularValues:
    return singular_values(Checkpoint(0, shape(), weights), CONTEXT)


def test_attention_is_read_head_by_head_and_biases_and_vectors_are_not() -> None:
    squares = dict.fromkeys(("unembed.W_U", "blocks.2.mlp.W_in", "embed.W_E"), np.eye(4))
    queries = {"blocks.10.attn.W_Q": np.stack([np.eye(4, 2), 2 * np.eye(4, 2)])}
    values = measured(squares | queries | {"blocks.10.attn.b_Q": np.ones((2, 2)), "blocks.2.ln1.w": np.ones(4)})
    heads = ("blocks.10.attn.W_Q.0", "blocks.10.attn.W_Q.1")
    assert values.matrix == ("embed.W_E", "blocks.2.mlp.W_in", *heads, "unembed.W_U")
    np.testing.assert_array_equal(values.value[3], [2, 2, np.nan, np.nan])
    assert values.shape.tolist() == [[4, 4], [4, 4], [4, 2], [4, 2], [4, 4]]


def test_a_diagonal_matrix_gives_its_diagonal_and_a_zero_matrix_has_no_dimension() -> None:
    values = measured({"embed.W_E": np.diag([1.0, 3.0, 0.0, 0.0]), "unembed.W_U": np.zeros((3, 3))})
    np.testing.assert_allclose(values.value[0], [3, 1, 0, 0])
    assert values.participation_ratio[1] == values.effective_rank[1] == values.frobenius_norm[1] == 0
    flat = {"embed.W_E": np.zeros((4, 4)), "pos_embed.W_pos": np.ones((1, 8))}
    assert judged("singular_values.overview", spectra(flat)).reason == "no matrix has two directions or more"


def test_rotating_a_matrix_and_permuting_its_columns_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    matrix, rotation = rng.normal(size=(5, 7)), np.linalg.qr(rng.normal(size=(5, 5)))[0]
    before, after = measured({"embed.W_E": matrix}), measured({"embed.W_E": (rotation @ matrix)[:, rng.permutation(7)]})
    np.testing.assert_allclose(after.value, before.value)


def test_the_calibration_embedding_starts_with_its_known_participation_ratio() -> None:
    import torch

    scale = 0.8 / np.sqrt(128)
    embedding = torch.randn(114, 128, generator=torch.Generator().manual_seed(999)).numpy() * np.float32(scale)
    values = measured({"embed.W_E": embedding})
    assert values.participation_ratio[0] == pytest.approx(86.033028, rel=1e-6)  # all 114 rows; 113 would give 85.54


def test_the_reference_run_ends_with_its_known_norm_and_participation_ratio_of_eigenvalues() -> None:
    last = calibration_model.weights_only(16_900)
    values = singular_values(last, calibration_model.context())
    assert (values.frobenius_norm**2).sum() == pytest.approx(1121, abs=1)
    assert len(values.matrix) == 5 + 4 * ModuloAddition().model().n_heads
    embedding = last.weights["embed.W_E"][:113]
    eigenvalues = measured({"embed.W_E": embedding}).value[0] ** 2
    assert eigenvalues.sum() ** 2 / (eigenvalues**2).sum() == pytest.approx(13.2, abs=0.05)


def spectra(*weights: dict[str, np.ndarray]) -> Artifact[SingularValues]:
    return path(*map(measured, weights))


def gaussian(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"embed.W_E": (24, 32), "blocks.0.attn.W_Q": (2, 32, 8), "blocks.0.mlp.W_in": (32, 96)}
    return {name: rng.normal(0, 0.2, size=shape) for name, shape in shapes.items()}


def test_heads_are_averaged_unless_asked_for() -> None:
    source, view = spectra(gaussian(0)), builtin().view("singular_values")
    rows = view.tabulate(source, CONTEXT).data.set_index("matrix")["participation_ratio"]
    assert rows["W_Q"] == pytest.approx(source[0].participation_ratio[1:3].mean())
    heads = view.tabulate(source, CONTEXT, heads_of="W_Q").data
    assert list(heads["matrix"]) == ["W_Q head 0", "W_Q head 1"]
    with pytest.raises(MiscopeError, match="known: W_E, W_Q, W_in"):
        view.tabulate(source, CONTEXT, heads_of="W_X")


@pytest.mark.parametrize("view", builtin().views("singular_values"))
def test_a_matrix_of_few_directions_is_beyond_random_ones_and_named(view: str) -> None:
    circle = np.stack([np.cos(np.arange(24)), np.sin(np.arange(24))], axis=1) @ gaussian(1)["embed.W_E"][:2]
    null = judged(view, spectra(gaussian(0), gaussian(0) | {"embed.W_E": circle}))
    assert null.is_beyond
    assert null.statistic.endswith(" of W_E")


def test_gaussian_matrices_are_within_random_ones_as_often_as_is_said() -> None:
    gaussians = [null for seed in range(100) for null in nulls(spectra(gaussian(seed)), CONTEXT)]
    is_beyond = Counter((null.view, null.options["heads_of"]) for null in gaussians if null.is_beyond)
    for view in ("overview", "effective_rank", "norms", "spectrum"):
        for heads_of in ("", "W_Q"):
            assert is_beyond[view, heads_of] <= 4  # 1 is expected, 5 has a chance of 0.4 %
    rng = np.random.default_rng(0)
    uniform = {name: rng.uniform(-1, 1, w.shape) for name, w in gaussian(0).items()}
    assert {null.verdict for null in nulls(spectra(uniform), CONTEXT)} == {"Within its null"}


def test_the_random_spectrum_is_drawn_beside_the_matrix_that_is_least_like_it() -> None:
    source = spectra(gaussian(0) | {"embed.W_E": np.diag(np.arange(1.0, 25.0))[:, :24] @ np.ones((24, 32))})
    view = builtin().view("singular_values.spectrum")
    rows = view.tabulate(source, CONTEXT, tuple(nulls(source, CONTEXT)), 0).data
    random, own = (rows[rows["matrix"] == name]["singular_value"].to_numpy() for name in ("random W_E", "W_E"))
    assert len(random) == 24
    np.testing.assert_allclose(np.linalg.norm(random), source[0].frobenius_norm[0], rtol=0.01)
    assert own.max() > 2 * random.max()
