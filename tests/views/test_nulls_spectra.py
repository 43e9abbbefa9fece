"""Verdicts on frequencies, neurons and sets of bits: planted structure is beyond its null, noise is within it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic
from synthetic import N_FREQ, P, context

from miscope import catalog
from miscope.analyzers.dominant_frequencies import dominant_frequencies
from miscope.analyzers.neuron_activations import NeuronActivations
from miscope.analyzers.neuron_fourier import neuron_fourier
from miscope.analyzers.neuron_spectra import NeuronSpectra, neuron_spectra
from miscope.analyzers.walsh_spectrum import walsh_spectrum
from miscope.core import Checkpoint, Context, ModelConfig
from miscope.families.parity import Parity
from miscope.families.sparse_parity import SparseParity
from miscope.instrument import Artifact, Output
from miscope.maths.walsh import bits
from miscope.trackers.neuron_dynamics import neuron_dynamics
from miscope.trackers.neuron_groups import NeuronGroups
from miscope.views.shared import nulls

CONTEXT, N = context(), 60
MODEL = ModelConfig(n_layers=1, d_model=P, n_heads=1, d_head=P, d_mlp=N, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
K = 1 + np.arange(N) % 3
X = np.arange(P)
RNG = np.random.default_rng(3)
INSTRUMENTS = (
    *("dominant_frequencies", "neuron_spectra", "neuron_dynamics", "neuron_activations"),
    *("neuron_fourier", "neuron_groups", "walsh_spectrum"),
)
BEYOND, WITHIN, NONE = nulls.BEYOND, nulls.WITHIN, nulls.NONE


def over(*outputs: Output, first: int = 0) -> Artifact[Any]:
    """Outputs at steps `first`, `first` + 1, ..."""
    return Artifact(tuple(range(first, first + len(outputs))), lambda step: outputs[step - first])


def said(name: str, source: Any, seen: Context = CONTEXT, **options: Any) -> str:
    """The kind of the view's verdict, at the last step."""
    view = catalog.view(name)
    last = (source.steps[-1],) if view.is_per_step else ()
    return view.table(source, seen, *last, **options).attrs["null"].partition(":")[0]


def kinds(source: Any, *names: str, seen: Context = CONTEXT) -> set[str]:
    return {said(name, source, seen) for name in names}


def waves(frequencies: Sequence[int] | np.ndarray, phase: np.ndarray | float = 0.0) -> np.ndarray:
    """[token item]"""
    return np.cos(2 * np.pi * np.multiply.outer(X, frequencies) / P + phase)


# ---------------------------------------------------------------- embeddings


def embedded(embedding: np.ndarray, unembedding: np.ndarray) -> Artifact[Any]:
    """Of a token of each row [token d_model]; the token `=` comes on top."""
    weights = {"embed.W_E": np.vstack([embedding, embedding[:1]]), "unembed.W_U": unembedding.T}
    return over(dominant_frequencies(Checkpoint(0, MODEL, weights), CONTEXT))


def test_an_embedding_of_one_frequency_is_beyond_and_one_of_noise_within():
    names = [f"dominant_frequencies.{name}" for name in ("overview", "evolution", "sparsity")]
    both = np.hstack([waves([4] * 4), waves([4] * 4, 1.0)])
    assert kinds(embedded(both, both), *names) == {BEYOND}
    assert kinds(embedded(RNG.normal(size=(P, 8)), both), *names) == {WITHIN}
    assert kinds(embedded(RNG.permutation(both), both), *names) == {WITHIN}


def test_both_ends_agree_where_they_have_the_same_of_many_frequencies():
    size = np.array([9.0, 7, 5, 3, 2, 1])
    both = np.hstack([size * waves(range(1, 7)), size * waves(range(1, 7), np.pi / 2)])
    other = np.hstack([size[::-1] * waves(range(1, 7)), size[::-1] * waves(range(1, 7), np.pi / 2)])
    assert said("dominant_frequencies.unembedding", embedded(both, 3 * both)) == BEYOND
    assert said("dominant_frequencies.unembedding", embedded(both, other)) == WITHIN
    one = dominant_frequencies(Checkpoint(0, MODEL, {"embed.W_E": both}), CONTEXT)
    assert said("dominant_frequencies.unembedding", over(one)) == NONE


# ---------------------------------------------------------------- neurons


def post(of_a: np.ndarray, of_b: np.ndarray) -> np.ndarray:
    """[neuron batch] of functions [token neuron] of each summand."""
    return (of_a[:, None] + of_b[None]).reshape(P * P, -1).T


RANDOM = post(*RNG.normal(size=(2, P, N)))
TUNED = post(waves(K), waves(K))


def spectra(values: np.ndarray) -> NeuronSpectra:
    activations = {"blocks.0.mlp.hook_post": values.T.astype(np.float32)}
    return neuron_spectra(Checkpoint(0, MODEL, {}, activations), CONTEXT)


SPECTRA = [f"neuron_spectra.{name}" for name in ("overview", "clusters", "peak_fractions", "population")]


def test_tuned_neurons_are_beyond_and_random_functions_of_the_summands_within():
    assert kinds(over(spectra(RANDOM), spectra(TUNED)), *SPECTRA) == {BEYOND}
    assert kinds(over(spectra(TUNED), spectra(RANDOM)), *SPECTRA) == {WITHIN}


def test_neurons_that_were_coarse_for_a_time_were_beyond():
    coarse = spectra(post(waves(np.ones(N)), waves(np.ones(N))))
    fine = spectra(post(waves(np.full(N, 6)), waves(np.full(N, 6))))
    assert said("neuron_spectra.low_frequency", over(fine, coarse, fine)) == BEYOND
    assert said("neuron_spectra.low_frequency", over(fine, spectra(RANDOM), fine)) == WITHIN


def followed(*path: NeuronSpectra) -> Any:
    return neuron_dynamics(over(*path), CONTEXT)


DYNAMICS = [f"neuron_dynamics.{name}" for name in ("overview", "commitment", "peaks")]


def test_neurons_that_end_tuned_are_beyond_whatever_they_began_as():
    assert kinds(followed(spectra(RANDOM), spectra(TUNED)), *DYNAMICS) == {BEYOND}
    assert kinds(followed(spectra(TUNED), spectra(RANDOM)), *DYNAMICS) == {WITHIN}


def test_concentration_is_judged_by_as_many_neurons_at_random_frequencies():
    spread = np.tile(np.arange(1, N_FREQ + 1), N // N_FREQ)
    assert said("neuron_dynamics.concentration", followed(spectra(TUNED))) == BEYOND
    assert said("neuron_dynamics.concentration", followed(spectra(post(waves(spread), waves(spread))))) == WITHIN
    assert said("neuron_dynamics.concentration", followed(spectra(RANDOM))) == WITHIN


def test_switches_count_between_frequencies_that_a_neuron_is_tuned_to():
    other = spectra(post(waves(K + 3), waves(K + 3)))
    drawn_anew = [spectra(post(*RNG.normal(size=(2, P, N)))) for _ in range(6)]
    assert said("neuron_dynamics.switches", followed(spectra(TUNED), other)) == BEYOND
    assert said("neuron_dynamics.switches", followed(spectra(TUNED), spectra(TUNED))) == WITHIN
    assert said("neuron_dynamics.switches", followed(*drawn_anew)) == WITHIN


def active(*values: np.ndarray) -> Artifact[Any]:
    return over(*(NeuronActivations(activation=one[None].astype(np.float32)) for one in values))


def test_maps_of_waves_are_beyond_and_of_random_functions_within():
    names = [f"neuron_activations.{name}" for name in ("overview", "single", "spectrum")]
    assert kinds(active(TUNED), *names) == {BEYOND}
    assert kinds(active(RANDOM), *names) == {WITHIN}


def test_without_a_square_grid_neurons_are_judged_by_what_the_answer_explains_of_them():
    seen = Parity(n_bits=7).context(0)
    noise = RNG.normal(size=(20, len(seen.probe.targets)))
    knows = noise + 3 * seen.probe.targets
    assert said("neuron_activations.overview", active(noise, knows), seen) == BEYOND
    assert said("neuron_activations.overview", active(knows, noise), seen) == WITHIN
    assert said("neuron_activations.overview", active(knows, knows), seen) == WITHIN  # untrained neurons know it too


def weighted(read: np.ndarray, write: np.ndarray) -> Artifact[Any]:
    """One-hot tokens, read [token neuron] and written [token neuron]."""
    tokens = {"embed.W_E": np.eye(P + 1, P), "unembed.W_U": np.eye(P)}
    weights = tokens | {"blocks.0.mlp.W_in": read, "blocks.0.mlp.W_out": write.T}
    return over(neuron_fourier(Checkpoint(0, MODEL, weights), CONTEXT, path="direct"))


def test_weights_that_are_waves_whose_phases_fit_are_beyond_and_random_ones_within():
    names = [f"neuron_fourier.{name}" for name in ("overview", "alignment", "phases")]
    phase = RNG.uniform(-np.pi, np.pi, N)
    assert kinds(weighted(waves(K, phase), waves(K, 2 * phase)), *names) == {BEYOND}
    assert kinds(weighted(*RNG.normal(size=(2, P, N))), *names) == {WITHIN}
    unrelated = weighted(waves(K, phase), waves(K, RNG.uniform(-np.pi, np.pi, N)))
    assert [said(name, unrelated) for name in names] == [BEYOND, WITHIN, WITHIN]


# ---------------------------------------------------------------- groups of neurons


def groups(n: int = 40, **fields: Any) -> NeuronGroups:
    """All neurons, and a group of n at k = 3 whose gain, share and spread are as in `synthetic`."""
    return replace(synthetic.neuron_groups(), size=np.array([100, n]), **fields)


PER_GROUP = (
    *("layer", "frequency", "size", "spread", "share", "r2_linear", "r2_quadratic", "r2_gain"),
    *("chance_gain", "curvature", "shape"),
)
SHAPES = ("neuron_groups.overview", "neuron_groups.relief")


def test_a_bent_group_is_beyond_if_it_has_neurons_enough():
    assert kinds(groups(), *SHAPES) == {BEYOND}
    assert kinds(groups(n=7), *SHAPES) == {WITHIN}
    assert kinds(groups(r2_gain=np.full((2, 6), 0.09)), *SHAPES) == {WITHIN}


def test_a_group_that_came_to_lie_in_a_plane_is_beyond():
    share = np.tile([0.2, 0.1, 0.1, 0.1, 0.1], (2, 6, 1))
    assert said("neuron_groups.dimensions", groups(share=share)) == WITHIN
    share[1, -1] = [0.45, 0.45, 0.02, 0.01, 0.01]
    assert said("neuron_groups.dimensions", groups(share=share)) == BEYOND
    assert said("neuron_groups.dimensions", groups(share=share, steps=np.arange(1, 7))) == NONE


def test_a_group_is_tight_if_all_neurons_lie_much_further_apart():
    assert said("neuron_groups.spread", groups(spread=np.array([[1.0] * 6, [0.6] * 6]))) == BEYOND
    assert said("neuron_groups.spread", groups(spread=np.array([[1.0] * 6, [0.7] * 6]))) == WITHIN


def test_without_groups_there_are_no_neurons_in_them():
    whole = groups(member=np.zeros((1, 8), dtype=int))
    found = replace(whole, **{name: getattr(whole, name)[:1] for name in PER_GROUP})
    assert kinds(found, *(f"neuron_groups.{name}" for name in ("overview", "dimensions", "spread"))) == {WITHIN}


# ---------------------------------------------------------------- sets of bits

SETS = [f"walsh_spectrum.{name}" for name in ("overview", "coefficient", "degrees", "spectrum", "strongest")]


def margins(values: np.ndarray, seen: Context) -> Artifact[Any]:
    logits = np.stack([-values / 2, values / 2], axis=1).astype(np.float32)
    return over(walsh_spectrum(Checkpoint(0, MODEL, {}, {"logits": logits}), seen))


def test_a_parity_in_the_margin_is_beyond_and_noise_within():
    seen = Parity(n_bits=8).context(0)
    character, noise = (-1.0) ** bits(np.arange(2**8), 8).sum(axis=1), RNG.normal(size=2**8)
    assert kinds(margins(noise + character, seen), *SETS, seen=seen) == {BEYOND}
    assert kinds(margins(noise, seen), *SETS, seen=seen) == {WITHIN}


def test_one_set_among_those_of_its_size_is_beyond_by_its_rank_and_its_coefficient():
    seen, n = SparseParity(n_bits=10, n_relevant=3).context(0), 10
    character = (-1.0) ** bits(np.arange(2**n), n)[:, list(seen.relevant_axes)].sum(axis=1)
    noise, names = RNG.normal(size=2**n), ("walsh_spectrum.rank", "walsh_spectrum.coefficient")
    assert kinds(margins(noise + character, seen), *names, seen=seen) == {BEYOND}
    assert kinds(margins(noise, seen), *names, seen=seen) == {WITHIN}


# ---------------------------------------------------------------- imported networks


@pytest.mark.parametrize("name", [view for view in catalog.views() if view.partition(".")[0] in INSTRUMENTS])
def test_a_network_without_step_0_gets_a_sentence(name, sources):
    source = sources[name.partition(".")[0]]
    if isinstance(source, Artifact):
        later = Artifact(source.steps[1:], source.__getitem__)
    else:
        later = replace(source, steps=source.steps + 100)
    table_of = catalog.view(name).table
    sentence = table_of(later, CONTEXT, 500) if catalog.view(name).is_per_step else table_of(later, CONTEXT)
    assert sentence.attrs["null"].partition(":")[0] in (BEYOND, WITHIN, NONE)
