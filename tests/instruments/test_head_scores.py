"""Attention and weights built by hand, whose scores are known."""

from dataclasses import replace

import numpy as np
import pytest
from judging import assert_told_apart, judged, path

from miscope.calibration.models import probe, shape
from miscope.core import Checkpoint, NotApplicable
from miscope.families.induction_heads import InductionHeads
from miscope.instruments._shared.guessing import z_score
from miscope.instruments.head_scores.measure import HeadScores, head_scores

V, D = 9, 4
ROWS = np.array([[5, 0, 1, 2, 0, 1, 2, 0], [5, 3, 3, 1, 0, 4, 1, 1], [5, 0, 1, 2, 3, 4, 2, 4]])
N = ROWS.shape[1]


def random_weights(seed: int = 0, n_heads: int = 1) -> dict[str, np.ndarray]:
    rng, heads = (
        np.random.default_rng(seed),
        {"blocks.0.attn.W_V": (n_heads, D, 2), "blocks.0.attn.W_O": (n_heads, 2, D)},
    )
    shapes = {"embed.W_E": (V, D), "unembed.W_U": (D, V)} | heads
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def measured(
    pattern: np.ndarray, tokens: np.ndarray = ROWS, weights: dict[str, np.ndarray] | None = None, **changes: object
) -> HeadScores:
    """Of one layer; `pattern` [batch head query key]."""
    plain, seen = probe(len(tokens)), {"blocks.0.attn.hook_pattern": pattern.astype(np.float32)}
    weights = random_weights(n_heads=pattern.shape[1]) if weights is None else weights
    model = shape(**{"n_heads": pattern.shape[1], "d_head": 2, "d_vocab": V, "d_vocab_out": V} | changes)
    return head_scores(Checkpoint(0, model, weights, seen), replace(plain, probe=replace(plain.probe, tokens=tokens)))


def looking(where: np.ndarray) -> np.ndarray:
    """One head that spreads over the places marked in [batch query key], and over all that it sees where none is."""
    marked = np.where(where.any(axis=2, keepdims=True), where, np.tri(where.shape[1], dtype=bool))
    return (marked / marked.sum(axis=2, keepdims=True))[:, None]


def marked(tokens: np.ndarray, behind: int) -> np.ndarray:
    """[batch query key]: the places `behind` after each earlier occurrence of the query's token, by search."""
    places = np.zeros((*tokens.shape, tokens.shape[1]), dtype=bool)
    for b, row in enumerate(tokens.tolist()):
        for i, token in enumerate(row):
            for j in range(i):
                places[b, i, j + behind] |= row[j] == token
    return places


def random_pattern(seed: int, n_heads: int = 3, shape: tuple[int, int] = ROWS.shape) -> np.ndarray:
    raw = np.random.default_rng(seed).random((shape[0], n_heads, shape[1], shape[1])) * np.tri(shape[1])
    return raw / raw.sum(axis=3, keepdims=True)


def even_attention(n_heads: int = 1) -> HeadScores:
    return measured(np.repeat(looking(np.zeros((3, N, N), dtype=bool)), n_heads, axis=1))


def test_even_attention_scores_every_chance_exactly() -> None:
    output = even_attention()
    np.testing.assert_allclose([output.previous_token, output.first_position], output.neighbour_chance, rtol=1e-6)
    np.testing.assert_allclose([output.duplicate_token, output.prefix_matching], output.repeat_chance, rtol=1e-6)
    np.testing.assert_allclose(output.offset_score[0, 0], output.offset_chance, rtol=1e-6)
    np.testing.assert_allclose(output.entropy, 1, rtol=1e-6)


def test_chance_is_worked_out_by_hand() -> None:
    output = measured(random_pattern(0, 1))
    assert output.neighbour_chance == pytest.approx(np.mean([1 / n for n in range(2, N + 1)]))
    assert output.offset.tolist() == list(range(N))
    # earlier occurrences over what is visible, row by row: 0120120; 33..11; ...242
    by_hand = [1 / 5, 1 / 6, 1 / 7, 2 / 8, 1 / 3, 1 / 7, 2 / 8, 1 / 7, 1 / 8]
    assert output.n_repeats == len(by_hand)
    assert output.repeat_chance == pytest.approx(np.mean(by_hand))


def test_an_induction_head_scores_1_in_prefix_matching_though_it_takes_the_last_occurrence_alone() -> None:
    all_of_them = marked(ROWS, behind=1)
    the_last = all_of_them & (np.cumsum(all_of_them[:, :, ::-1], axis=2)[:, :, ::-1] == 1)
    output = measured(looking(the_last))
    assert output.prefix_matching == pytest.approx(1)
    assert output.duplicate_token < 0.2  # only where the two coincide


SOUGHT = {
    "duplicate_token": marked(ROWS, behind=0),
    "prefix_matching": marked(ROWS, behind=1),
    "previous_token": np.tile(np.eye(N, k=-1, dtype=bool), (3, 1, 1)),
    "first_position": np.tile(np.outer(np.arange(N) > 0, np.arange(N) == 0), (3, 1, 1)),
}


@pytest.mark.parametrize("name", SOUGHT)
def test_scores_of_any_pattern_are_those_of_a_search(name: str) -> None:
    pattern, where = random_pattern(7), SOUGHT[name]
    expected = [(pattern[:, h] * where).sum(axis=2)[where.any(axis=2)].mean() for h in range(3)]
    np.testing.assert_allclose(getattr(measured(pattern), name)[0], expected, rtol=1e-5)


def test_other_names_for_the_tokens_change_nothing() -> None:
    renamed = np.random.default_rng(1).permutation(V)[ROWS]
    one, other = measured(random_pattern(2)), measured(random_pattern(2), renamed)
    np.testing.assert_array_equal(one.prefix_matching, other.prefix_matching)
    np.testing.assert_array_equal(one.duplicate_token, other.duplicate_token)


def test_where_no_token_occurs_twice_those_scores_are_absent() -> None:
    output = measured(random_pattern(0, 1, (1, 4)), np.array([[0, 1, 2, 3]]))
    assert (output.duplicate_token, output.prefix_matching, output.repeat_chance) == (None, None, None)
    assert output.n_repeats == 0


def test_a_network_that_is_not_causal_has_offsets_ahead_too_and_chances_of_its_own() -> None:
    ahead = np.broadcast_to(np.eye(N, k=1) + (np.arange(N) == N - 1)[:, None] / N, (3, 1, N, N))
    output = measured(ahead, is_causal=False)
    assert output.offset.tolist() == list(range(1 - N, N))
    assert output.offset_score[0, 0, output.offset == -1] == pytest.approx(1)
    np.testing.assert_allclose(output.offset_chance, 1 / N)
    assert output.neighbour_chance == pytest.approx(1 / N)


def test_one_position_leaves_heads_nothing_to_choose() -> None:
    with pytest.raises(NotApplicable, match="have one position"):
        measured(np.ones((3, 1, 1, 1)), ROWS[:, :1])


def test_the_small_product_has_the_eigenvalues_of_the_circuit_from_token_to_token() -> None:
    weights, m = random_weights(3, n_heads=2), V - 1
    weights["unembed.W_U"] = weights["unembed.W_U"][:, :m]
    weights |= {"blocks.0.ln1.w": np.arange(1, D + 1) / D, "ln_final.w": np.arange(D, 0, -1) / D}
    copying = measured(random_pattern(0, 2), weights=weights, d_vocab_out=m).copying
    for head in range(2):
        values = weights["blocks.0.attn.W_V"][head] @ weights["blocks.0.attn.W_O"][head]
        read = weights["embed.W_E"][:m] * weights["blocks.0.ln1.w"]
        circuit = np.linalg.eigvals(read @ values @ (weights["ln_final.w"][:, None] * weights["unembed.W_U"]))
        assert copying[0, head] == pytest.approx(circuit.sum().real / np.abs(circuit).sum(), rel=1e-4)


def test_random_heads_copy_as_widely_as_such_heads_do() -> None:
    """Two hundred heads of random weights, and the spread that is foretold from others between their embeddings."""
    output = measured(random_pattern(0, 200), weights=random_weights(1, n_heads=200))
    assert output.copying_std[0] == pytest.approx(output.copying.std(), rel=0.25)


def test_between_embeddings_of_one_direction_every_head_copies_all_or_the_opposite() -> None:
    weights = random_weights(2)
    weights["embed.W_E"] = np.outer(weights["embed.W_E"][:, 0], weights["embed.W_E"][0]).astype(np.float32)
    output = measured(random_pattern(0, 1), weights=weights)
    np.testing.assert_allclose(np.abs(output.copying), 1, atol=1e-5)
    assert output.copying_std[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("tokens", "answers"), [(17, 8), (8, 17), (7, 7)])
def test_answers_that_are_no_tokens_or_too_few_to_tell_are_not_copied(tokens: int, answers: int) -> None:
    output = measured(random_pattern(0, 1), d_vocab=tokens, d_vocab_out=answers)
    assert output.copying is None and output.copying_std is None


def test_on_the_probe_of_the_task_a_head_that_looks_a_fixed_distance_back_is_no_induction_head() -> None:
    tokens = InductionHeads().context(0).probe.tokens
    b, n = tokens.shape

    def score(where: np.ndarray) -> float:
        return float(measured(looking(where), tokens).prefix_matching[0, 0])

    assert score(marked(tokens, behind=1)) == pytest.approx(1, abs=1e-5)
    assert max(score(np.broadcast_to(np.eye(n, k=-back, dtype=bool), (b, n, n))) for back in range(2, 16)) < 0.25


def departing(size: float, **changes: np.ndarray) -> HeadScores:
    """Even attention, from which each score departs by Gaussian numbers of that size."""
    even, off = even_attention(2), size * np.random.default_rng(0).normal(size=(5, 1, 2))
    fields = ("previous_token", "first_position", "prefix_matching", "duplicate_token")
    by_offset = {"offset_score": even.offset_score + off[4][..., None]}
    return replace(even, **{name: getattr(even, name) + off[i] for i, name in enumerate(fields)} | by_offset | changes)


@pytest.mark.parametrize(
    ("view", "role"), [("overview", "prefix_matching"), ("heads", "first_position"), ("offsets", "offset_score")]
)
def test_a_head_that_takes_a_role_is_beyond(view: str, role: str) -> None:
    taken = getattr(departing(0), role).copy()
    taken[0, 1] = 0.95
    still = departing(0.001)
    assert_told_apart(f"head_scores.{view}", path(still, still, departing(0.001, **{role: taken})), path(still, still))


def test_a_head_that_looks_away_from_the_previous_token_forms_no_induction_circuit() -> None:
    away = np.zeros((1, 2))
    last = departing(0, previous_token=away, prefix_matching=away)
    assert judged("head_scores.overview", path(departing(0.001), last)).verdict == "Within its null"
    assert "no checkpoint of step 0" in judged("head_scores.overview", path(last, first=100)).reason


def test_copying_is_held_against_random_heads_between_the_same_embeddings() -> None:
    edge = 0.2 * z_score(2)
    for beyond, within in (((0.9, 0.2), (0.9, 0.6)), ((edge + 0.01, 0.2), (edge - 0.01, 0.2))):
        fields = (
            {"copying": np.array([[score, -1]]), "copying_std": np.array([std])} for score, std in (beyond, within)
        )
        assert_told_apart("head_scores.copying", *(path(replace(even_attention(2), **changed)) for changed in fields))
