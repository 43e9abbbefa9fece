"""Verdicts on paths, layouts and likeness: what was planted is beyond chance, walks and noise are within it."""

from dataclasses import replace

import numpy as np
import pytest
from judging import over, said
from miscope.trackers.parameter_trajectory import ParameterTrajectory, parameter_trajectory

from miscope.analyzers.representation_geometry import RepresentationGeometry, representation_geometry
from miscope.analyzers.representations import representations
from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.instrument import Artifact, Output
from miscope.maths.spectra import Basis
from miscope.trackers.centroid_trajectory import centroid_trajectory
from miscope.trackers.representation_similarity import representation_similarity
from miscope.views.shared import nulls

P, EACH, DIM, STEPS = 13, 6, 40, range(0, 1000, 100)
MODEL = ModelConfig(n_layers=1, d_model=DIM, n_heads=1, d_head=4, d_mlp=4, n_ctx=1, d_vocab=P, d_vocab_out=P)
ANSWERS = np.repeat(np.arange(P), EACH)
PROBE = Probe(np.zeros((len(ANSWERS), 1), dtype=np.int64), ANSWERS, np.ones(len(ANSWERS), dtype=bool))
CONTEXT = Context(PROBE, 0, Basis("fourier", P), position_names=("=",))
NOISE = np.random.default_rng(0).normal(size=(len(ANSWERS), DIM))
PATH = ("overview", "three_d", "components", "explained_variance", "distance", "turning")


def kind(view: str, source: Output | Artifact[Output], **options: object) -> str:
    return said(view, source, CONTEXT, **options).partition(":")[0]


# ---------------------------------------------------------------- paths of weights


def path(*matrices: np.ndarray) -> ParameterTrajectory:
    """Of matrices [step parameter]: the embedding's, the attention's, the MLP's."""
    names = ("embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in")
    named = list(zip(names, matrices, strict=False))
    weights = [{name: rows[i : i + 1].astype(np.float32) for name, rows in named} for i in range(len(STEPS))]
    return parameter_trajectory({s: Checkpoint(s, MODEL, w) for s, w in zip(STEPS, weights, strict=True)}, CONTEXT)


def walk(seed: int, lengths: np.ndarray | float = 1.0, dim: int = 2000) -> np.ndarray:
    moves = np.random.default_rng(seed).normal(size=(10, dim)) * np.broadcast_to(lengths, 10)[:, None]
    return 30 * np.random.default_rng(99).normal(size=dim) + moves.cumsum(axis=0)


@pytest.mark.parametrize("view", PATH)
def test_a_path_that_leads_somewhere_is_beyond_a_random_walk_and_one_that_shrinks_is_not(view):
    there = np.arange(10)[:, None] * np.random.default_rng(5).normal(size=2000)
    name = f"parameter_trajectory.{view}"
    assert kind(name, path(walk(1, 0.3) + there)) == nulls.BEYOND
    assert kind(name, path(walk(1))) == nulls.WITHIN
    assert kind(name, path(walk(1, 0.1) * 0.8 ** np.arange(10)[:, None])) == nulls.WITHIN
    assert kind(name, path(np.ones((10, 5)))) == nulls.NONE


def test_one_fast_stretch_is_beyond_an_even_pace():
    lengths = np.ones(10)
    assert kind("parameter_trajectory.speed", path(walk(1, lengths))) == nulls.WITHIN
    lengths[5] = 3
    assert kind("parameter_trajectory.speed", path(walk(1, lengths))) == nulls.BEYOND


def test_parts_that_walk_by_themselves_move_together_by_chance():
    bend = np.sin(np.linspace(0, 2 * np.pi, 10))[:, None]
    together = [bend * np.random.default_rng(seed).normal(size=2000) for seed in (1, 2, 3)]
    assert kind("parameter_trajectory.proximity", path(*together)) == nulls.BEYOND
    assert kind("parameter_trajectory.proximity", path(walk(1), walk(2), walk(3))) == nulls.WITHIN
    assert kind("parameter_trajectory.proximity", path(walk(1))) == nulls.NONE


# ---------------------------------------------------------------- layouts


def ring(size: float) -> np.ndarray:
    """Answers on circles of frequencies 2 and 5, with their inputs' own places about them."""
    values, angles = NOISE.copy(), 2 * np.pi * np.outer(ANSWERS, [2, 5]) / P
    values[:, :4] += size * np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * [1, 0.5, 1, 0.5]
    return values


def geometry(*values: np.ndarray, first: int = 0) -> Artifact[RepresentationGeometry]:
    hook = "blocks.0.hook_resid_post"
    seen = [Checkpoint(first + 100 * i, MODEL, {}, {hook: x.astype(np.float32)}) for i, x in enumerate(values)]
    return over({one.step: representation_geometry(one, CONTEXT) for one in seen})


@pytest.mark.parametrize("view", ["overview", "separation", "circularity", "frequencies", "ring"])
def test_a_ring_of_answers_is_beyond_chance_and_noise_is_not(view):
    name = f"representation_geometry.{view}"
    flat = ring(20) * np.where(np.arange(DIM) < 4, 1, 0.01)
    assert kind(name, geometry(NOISE, flat)) == nulls.BEYOND
    assert kind(name, geometry(NOISE, 2 * NOISE[:, ::-1])) == nulls.WITHIN
    assert kind(name, geometry(flat, first=500)) == nulls.BEYOND


@pytest.mark.parametrize("view", ["overview", "separation"])
def test_answers_that_the_untrained_network_parts_as_well_are_within(view):
    assert kind(f"representation_geometry.{view}", geometry(ring(4), ring(4.4))) == nulls.WITHIN


def test_a_fall_of_the_dimensions_is_beyond_the_untrained_network():
    flat = NOISE * np.where(np.arange(DIM) < 2, 1, 0.1)
    assert kind("representation_geometry.dimensions", geometry(NOISE, flat)) == nulls.BEYOND
    assert kind("representation_geometry.dimensions", geometry(flat, NOISE)) == nulls.WITHIN
    assert kind("representation_geometry.dimensions", geometry(flat, first=500)) == nulls.NONE


# ---------------------------------------------------------------- centroids on their way


def test_answers_that_part_are_beyond_the_heap_and_the_axes_that_they_began_in():
    angles = 2 * np.pi * np.outer(ANSWERS, [1, 2, 3]) / P
    rings = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) @ NOISE[:6]
    grown = centroid_trajectory(geometry(*(NOISE + size * rings for size in (0, 0.1, 1, 5, 6, 7))), CONTEXT)
    moved = np.random.default_rng(1).normal(size=(6, *NOISE.shape)).cumsum(axis=0) / 10
    walked = centroid_trajectory(geometry(*(NOISE + moved)), CONTEXT)
    for view in ("overview", "fit", "speed"):
        assert kind(f"centroid_trajectory.{view}", grown) == nulls.BEYOND
        assert kind(f"centroid_trajectory.{view}", walked) == nulls.WITHIN
    late = replace(grown, steps=grown.steps + 500)
    assert kind("centroid_trajectory.overview", late) == nulls.NONE
    assert kind("centroid_trajectory.fit", late) == nulls.BEYOND


# ---------------------------------------------------------------- likeness


def seen(*values: np.ndarray) -> Artifact[Output]:
    hook = "blocks.0.hook_resid_post"
    views = [Checkpoint(100 * i, MODEL, {}, {hook: x.astype(np.float32)}) for i, x in enumerate(values)]
    return over({one.step: representations(one, CONTEXT) for one in views})


def test_inputs_of_one_answer_that_come_together_are_beyond_shuffled_answers_and_the_untrained_network():
    assert kind("representations", seen(NOISE, ring(4))) == nulls.BEYOND
    assert kind("representations", seen(NOISE, NOISE[::-1])) == nulls.WITHIN
    assert kind("representations", seen(ring(4), ring(4.4))) == nulls.WITHIN


@pytest.mark.parametrize("view", ["overview", "change", "to_final"])
def test_a_representation_that_is_replaced_at_once_is_beyond_an_even_pace(view):
    other, drift = np.random.default_rng(2).normal(size=(2, *NOISE.shape)) * np.array([3, 0.05])[:, None, None]
    early = [NOISE + i * drift + (i > 1) * other for i in range(10)]
    walked = NOISE + np.random.default_rng(3).normal(size=(10, *NOISE.shape)).cumsum(axis=0) / 10
    name = f"representation_similarity.{view}"
    assert kind(name, representation_similarity(seen(*early), CONTEXT)) == nulls.BEYOND
    assert kind(name, representation_similarity(seen(*walked), CONTEXT)) == nulls.WITHIN
