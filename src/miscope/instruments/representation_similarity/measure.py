r"""How similar the network's representations of the same inputs are at every two checkpoints, site by site.

Blocks on the diagonal are parts of training in which a representation does not change; the similarity to the last
checkpoint shows how early its final state appears. Linear CKA is above zero for unrelated representations, more so with
more dimensions and fewer inputs. The debiased value is not; both are stored with their chance values.

Maths: $K$ and $L$ are the inner products of the $n$ inputs, less the mean of the inputs, at two checkpoints, in $d$
dimensions; $\langle K, L \rangle$ is the sum of $K_{ij} L_{ij}$.
$$\text{cka} = \frac{\langle K, L \rangle}{\lVert K \rVert \, \lVert L \rVert}, \qquad
\text{debiased\_cka} = \frac{\langle \tilde K, \tilde L \rangle}{\lVert \tilde K \rVert \, \lVert \tilde L \rVert},$$
$$\tilde K_{ij} = K_{ij} - \frac{R_i + R_j}{n - 2} + \frac{\sum_l R_l}{(n - 1)(n - 2)} \ \ (i \ne j), \qquad
\tilde K_{ii} = 0, \qquad R_i = \sum_{l \ne i} K_{il},$$
$$\text{turn} = \arccos(\text{debiased\_cka}), \qquad
\text{dimension}(K) = \frac{(\operatorname{tr} K)^2}{\lVert K \rVert^2},$$
$$\text{chance\_cka} = \frac{\sqrt{\text{dimension}(K) \, \text{dimension}(L)}}{n - 1}, \qquad
\text{gaussian\_cka} = \frac{d}{n + d}.$$

Source: Kornblith et al. 2019, arXiv:1905.00414, section 3 (linear CKA); Song et al. 2012, JMLR 13, theorem 2, and
Nguyen et al. 2021, arXiv:2010.15327 (debiased).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.instruments._shared.nulls import EVEN, MARGIN, of_moves
from miscope.instruments._shared.sites import kind, last_of_layers, options_of, stacked
from miscope.instruments.representations.measure import Representations
from miscope.instruments.representations.measure import instrument as representations_instrument
from miscope.maths.decomposition import cosines_of_all, dimension, gaussian_cka, kernel, turns, without_bias
from miscope.plugin import Artifact, Context, NotApplicable, Null, Output, OverTraining

Similarities = Float32[np.ndarray, "site n n"]
FEWEST = 4  # inputs that the debiased similarity needs
RESOLUTION = 0.1  # degrees: what activations in 10 bits and similarities in float32 tell apart, with room to spare


@dataclass(frozen=True)
class RepresentationSimilarity(Output):
    steps: Int[np.ndarray, " n"]
    site: tuple[str, ...]  # hook names, in the order of the forward pass
    cka: Similarities  # in [0, 1], 1 under rotation and scaling; NaN: the site is the same for all
    debiased_cka: Similarities  # at most 1, around 0 where nothing is shared
    turn: Float[np.ndarray, "site interval"]  # angle of the debiased CKA between neighbours, in degrees
    dimension: Float[np.ndarray, "site n"]  # that the inputs fill, participation ratio of the kernel's eigenvalues
    chance_cka: Similarities  # of kernels with these dimensions and nothing else in common
    gaussian_cka: Float[np.ndarray, " site"]  # of independent Gaussians of the site's shape: width / (inputs + width)
    n_inputs: int


def representation_similarity(representations: Artifact[Representations], context: Context) -> RepresentationSimilarity:
    """Both similarities of every two checkpoints, from the inputs' inner products; one site at a time."""
    first = representations[representations.steps[0]]
    n_inputs = len(first.chosen)
    if n_inputs < FEWEST:
        raise NotApplicable(f"The probe has {n_inputs} inputs; similarities need {FEWEST} at least.")
    values = representations.stack("value")  # [step input feature]
    return RepresentationSimilarity(
        steps=np.array(representations.steps, dtype=np.int64),
        site=first.site,
        gaussian_cka=np.array([gaussian_cka(n_inputs, int(width)) for width in first.width]),
        n_inputs=n_inputs,
        **stacked([_measured(part) for part in np.split(values, np.cumsum(first.width)[:-1], axis=2)]),
    )


def _measured(values: Float32[np.ndarray, "n input dim"]) -> dict[str, np.ndarray]:
    """Those fields of the Output that are measured site by site, at one."""
    kernels = np.stack([kernel(one) for one in values])
    dimensions = np.array([dimension(one) for one in kernels])
    root, unbiased = np.sqrt(dimensions), np.stack([without_bias(one) for one in kernels]).reshape(len(values), -1)
    return {
        "cka": cosines_of_all(kernels.reshape(len(values), -1)),
        "debiased_cka": cosines_of_all(unbiased),
        "turn": turns(unbiased),
        "dimension": dimensions,
        "chance_cka": (np.outer(root, root) / (values.shape[1] - 1)).astype(np.float32),
    }


def measures(output: RepresentationSimilarity) -> dict[str, np.ndarray]:
    """How much of the final representation is there already, at the last site and at each."""
    to_final = output.debiased_cka[:, :, -1]
    each = {f"similarity_to_final of {site}": of for site, of in zip(output.site, to_final, strict=True)}
    return {"similarity_to_final": to_final[-1]} | each


def nulls(similarity: RepresentationSimilarity, context: Context) -> Iterator[Null]:
    """A random walk whose steps are equally long."""
    for at, site in enumerate(similarity.site):
        yield _of_turns(similarity, at).of("overview", **options_of(site))
    yield _of_turns(similarity, -1).of("change")
    for layer, at in last_of_layers(similarity.site).items():
        yield _of_half_way(similarity, at).of("to_final", layer=layer)


def _of_turns(similarity: RepresentationSimilarity, at: int) -> Null:
    """The largest change of one site between neighbouring checkpoints."""
    is_there = np.isfinite(similarity.turn[at])
    turns, gaps = similarity.turn[at][is_there], np.diff(similarity.steps)[is_there]
    return of_moves(f"largest change of {kind(similarity.site[at])}", turns, gaps, RESOLUTION)


def _of_half_way(similarity: RepresentationSimilarity, at: int) -> Null:
    """How early half of the angle to the last representation of a site is behind it, for good."""
    angle, site = np.degrees(np.arccos(np.clip(similarity.debiased_cka[at, :, -1], -1, 1))), similarity.site[at]
    if not angle[0] >= 10 * RESOLUTION:  # so that a tenth of the way is told apart
        return Null.absent(f"{kind(site)} is at the first checkpoint as it is at the last, or unmeasured")
    first, span = similarity.steps[0], similarity.steps[-1] - similarity.steps[0]
    half = similarity.steps[1 + int(np.flatnonzero(~(angle <= angle[0] / 2))[-1])]
    statistic, chance = (
        "step at which half of the way to the final similarity is reached",
        float(first + span / 2 / MARGIN),
    )
    return Null(statistic, float(half), chance, EVEN, "matched", level=None, is_lower=True)


needs = (representations_instrument,)
instrument = OverTraining(representation_similarity, needs=needs, measures=measures, nulls=nulls)
