"""Spectra of matrices whose singular values are known."""

import calibration_model
import numpy as np
import pytest

from miscope.analyzers.singular_values import SingularValues, singular_values
from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.families.modulo_addition import ModuloAddition
from miscope.maths.spectra import Basis

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=2, d_head=2, d_mlp=0, n_ctx=1, d_vocab=4, d_vocab_out=4)
PROBE = Probe(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", 4))


def measured(weights: dict[str, np.ndarray]) -> SingularValues:
    return singular_values(Checkpoint(0, MODEL, weights), CONTEXT)


def test_a_diagonal_matrix_gives_its_diagonal() -> None:
    found = measured({"embed.W_E": np.diag([1.0, 3.0, 0.0, 0.0])})
    np.testing.assert_allclose(found.value, [[3, 1, 0, 0]])
    np.testing.assert_allclose(found.participation_ratio, [1.6])
    np.testing.assert_allclose(found.effective_rank, [4 / 3**0.75])
    np.testing.assert_allclose(found.spectral_norm, [3])
    np.testing.assert_allclose(found.frobenius_norm, [np.sqrt(10)])


def test_equal_directions_count_themselves_by_both_measures() -> None:
    found = measured({"embed.W_E": 5 * np.eye(6, 4)})
    np.testing.assert_allclose(found.participation_ratio, [4])
    np.testing.assert_allclose(found.effective_rank, [4])


def test_attention_is_read_head_by_head_and_biases_and_vectors_are_not() -> None:
    found = measured(
        {
            "unembed.W_U": np.eye(4),
            "blocks.10.attn.W_Q": np.stack([np.eye(4, 2), 2 * np.eye(4, 2)]),
            "blocks.10.attn.b_Q": np.ones((2, 2)),
            "blocks.2.mlp.W_in": np.eye(4),
            "blocks.2.ln1.w": np.ones(4),
            "embed.W_E": np.eye(4),
        }
    )
    heads = ("blocks.10.attn.W_Q.0", "blocks.10.attn.W_Q.1")
    assert found.matrix == ("embed.W_E", "blocks.2.mlp.W_in", *heads, "unembed.W_U")
    np.testing.assert_array_equal(found.value[3], [2, 2, np.nan, np.nan])
    assert found.shape.tolist() == [[4, 4], [4, 4], [4, 2], [4, 2], [4, 4]]


def test_a_zero_matrix_has_no_dimension() -> None:
    found = measured({"embed.W_E": np.zeros((3, 3))})
    assert found.participation_ratio == found.effective_rank == found.frobenius_norm == 0


def test_rotating_a_matrix_and_permuting_its_columns_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    matrix, rotation = rng.normal(size=(5, 7)), np.linalg.qr(rng.normal(size=(5, 5)))[0]
    before, after = measured({"embed.W_E": matrix}), measured({"embed.W_E": (rotation @ matrix)[:, rng.permutation(7)]})
    np.testing.assert_allclose(after.value, before.value)


def test_the_calibration_embedding_starts_with_its_known_participation_ratio() -> None:
    torch = pytest.importorskip("torch")
    scale = 0.8 / np.sqrt(128)
    embedding = torch.randn(114, 128, generator=torch.Generator().manual_seed(999)).numpy() * np.float32(scale)
    found = measured({"embed.W_E": embedding})
    assert found.participation_ratio[0] == pytest.approx(86.033028, rel=1e-6)  # all 114 rows; 113 would give 85.54


def test_the_reference_run_ends_with_its_known_norm() -> None:
    found = singular_values(calibration_model.weights_only(16_900), calibration_model.context())
    assert (found.frobenius_norm**2).sum() == pytest.approx(1121, abs=1)
    assert len(found.matrix) == 5 + 4 * ModuloAddition().model().n_heads


def test_the_reference_embedding_has_its_known_participation_ratio_of_eigenvalues() -> None:
    embedding = calibration_model.weights_only(16_900).weights["embed.W_E"][:113]
    eigenvalues = measured({"embed.W_E": embedding}).value[0] ** 2
    assert eigenvalues.sum() ** 2 / (eigenvalues**2).sum() == pytest.approx(13.2, abs=0.05)
