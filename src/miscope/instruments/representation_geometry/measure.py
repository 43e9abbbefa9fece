r"""How the network arranges its inputs by their right answer: positions, widths and distances of the answers' clouds.

Before training the clouds overlap, and the signal-to-noise ratio is at chance. A network that generalises contracts
each cloud and separates the centroids; modular addition arranges them on circles, two dimensions for each key
frequency. Sites that are the same for all inputs, such as the residual stream at a token that never changes, have no
ratios.

Maths: class $r$ of $C$ has $n_r$ of $N$ activations $x$, their mean $\mu_r$ the centroid; $\bar\mu$ is the mean of
centroids, $G_r$ the inner products of the class' activations less $\mu_r$.
$$\text{radius}_r^2 = \rho_r^2 = \tfrac{1}{n_r} \sum_{x \in r} \lVert x - \mu_r \rVert^2, \qquad
\text{participation\_ratio}_r = \frac{(\operatorname{tr} G_r)^2}{\lVert G_r \rVert_F^2}, \qquad
\text{spread}^2 = \tfrac{1}{C} \sum_r \lVert \mu_r - \bar\mu \rVert^2,$$
$$\text{snr} = \frac{\text{spread}^2}{\tfrac{1}{C} \sum_r \rho_r^2}, \qquad \text{chance\_snr} = \frac{C - 1}{N - C},
\qquad \text{fisher}_{rs} = \frac{\lVert \mu_r - \mu_s \rVert^2}{\rho_r^2 + \rho_s^2}.$$
`variance_share` is of the principal components of the centroids. Over the classes in order, $r = 0, \dots, C - 1$, let
$e_k$ be the energy at frequency $k$: $\text{power}_k = e_k / \sum_j e_j$ of the centroids, `circularity` is the mean of
$\max_k e_k / \sum_j e_j$ of the scores on PC1 to PC4. With $\phi_r$ the angle of $\mu_r - \bar\mu$ in the plane of PC1
and PC2,
$$\text{ring\_alignment} = \max_k \Bigl\lvert \tfrac{1}{C} \sum_r e^{i (\phi_r - 2 \pi k r / C)} \Bigr\rvert.$$

Source: Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x (the criterion, with trace variances); Gao et al. 2017,
doi:10.1101/214262 (participation ratio); Zhong et al. 2023, arXiv:2306.17844 (circularity, there of the embedding).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from miscope.instruments._shared.nulls import MARGIN, against_untrained
from miscope.instruments._shared.sites import HOOKS, last_of_layers, options_of, sites, stacked
from miscope.maths import clouds
from miscope.maths.codes import Codes, dequantize, quantize
from miscope.maths.null_distributions import largest_share
from miscope.maths.spectra import power_by_frequency
from miscope.plugin import Artifact, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

Classes = Int[np.ndarray, " cls"]
PerSite = Float[np.ndarray, " site"]
FEWEST_ON_A_RING = 5  # three points always lie on a circle, and four nearly so
N_COMPONENTS = 8
BITS = 12  # of a centroid's coordinate
TOO_FEW = Null.absent(f"fewer than {FEWEST_ON_A_RING} right answers always lie on a circle")


@dataclass(frozen=True)
class RepresentationGeometry(Output):
    """At the answer position. The classes are the right answers that two probe inputs or more have."""

    site: tuple[str, ...]  # hook names, in the order of the forward pass: `blocks.0.mlp.hook_post`
    width: Int[np.ndarray, " site"]  # dimensions
    label: Classes  # the right answer
    n_inputs: Classes
    code: UInt8[np.ndarray, " byte"]  # of `centroid`, in 12 bits each, without the features that never vary; packed
    low: Float32[np.ndarray, " feature"]  # the least over centroids; features are the sites' dimensions side by side
    unit: Float32[np.ndarray, " feature"]  # between two levels; a coordinate is off by half of it at most
    radius: Float[np.ndarray, "site cls"]  # root mean square distance from the centroid
    participation_ratio: Float[np.ndarray, "site cls"]  # dimensions filled, of eigenvalues; NaN: one point
    spread: PerSite  # root mean square distance of the centroids from their mean
    snr: PerSite  # spread^2 over the mean of radius^2; NaN: all radii are 0
    chance_snr: float  # what answers that are independent of the activations give
    fisher_mean: PerSite  # over pairs: squared distance over the sum of the two radii squared
    fisher_min: PerSite
    fisher_min_pair: Float[np.ndarray, "site 2"]  # the two right answers hardest to tell apart; NaN: none
    least_distance: PerSite  # between two centroids
    variance_share: Float[np.ndarray, "site component"]  # of the centroids' variance, per principal component
    has_native_order: bool  # whether frequencies are those of the task's own group; else over the classes' numbers
    power: Float[np.ndarray, "site freq"] | None = None  # that share at k = 1 .. n_f; None: fewer than 5 classes
    circularity: PerSite | None = None  # of the centroids' components, in [0, 1]
    ring_alignment: PerSite | None = None  # of their angles in the plane of PC1 and PC2, in [0, 1]
    ring_frequency: PerSite | None = None  # k at which they align; NaN: the site does not vary
    chance_circularity: float | None = None  # what one untrained attention head in a hundred shows
    chance_alignment: float | None = None

    @property
    def centroid(self) -> Float32[np.ndarray, "cls feature"]:
        """The sites side by side, each `width` columns; a coordinate has 4,096 levels, all else was measured before."""
        return dequantize(Codes(self.code, self.low, self.unit), len(self.label), BITS)


Geometry = Artifact[RepresentationGeometry]


def representation_geometry(checkpoint: Checkpoint, context: Context) -> RepresentationGeometry:
    """Centroids and clouds of every site, each sorted by right answer once."""
    order, label, n_inputs = _classes(context.probe.targets)
    activations, basis = sites(checkpoint.activations, checkpoint.model), context.basis
    per_site = [clouds.clouds(values[order], np.cumsum(n_inputs)) for values in activations.values()]
    chance: dict[str, Any] = {}
    if len(label) >= FEWEST_ON_A_RING:
        chance = {f"chance_{name}": value for name, value in clouds.rare_rings(len(label))._asdict().items()}
    return RepresentationGeometry(
        site=tuple(activations),
        width=np.array([site.centroid.shape[1] for site in per_site]),
        label=label,
        n_inputs=n_inputs,
        **quantize(np.concatenate([site.centroid for site in per_site], axis=1).astype(np.float32), BITS)._asdict(),
        chance_snr=(len(label) - 1) / int(n_inputs.sum() - len(label)),
        has_native_order=basis.kind == "fourier" and basis.is_native and np.array_equal(label, np.arange(basis.size)),
        **stacked([_measured(site, label) for site in per_site]),
        **chance,
    )


def _classes(targets: Int[np.ndarray, " batch"]) -> tuple[Int[np.ndarray, " kept"], Classes, Classes]:
    """The inputs sorted by right answer, the answers, and how many inputs each has; answers of one input left out."""
    label, inverse, counts = np.unique(targets, return_inverse=True, return_counts=True)
    is_class = (counts > 1) & (label >= 0)
    if is_class.sum() < 2:
        raise NotApplicable("Of the probe's right answers fewer than two have two inputs or more.")
    order = np.argsort(inverse, kind="stable")
    return order[is_class[inverse[order]]], label[is_class], counts[is_class]


def _measured(site: clouds.Clouds, label: Classes) -> dict[str, Any]:
    """Those fields of the Output that are measured site by site, at one."""
    centroid, variance, ratio = site
    scores, shares = clouds.components(centroid)
    squares, both = clouds.squared_distances(centroid), variance[:, None] + variance
    fisher = np.divide(squares, both, out=np.full(both.shape, np.nan), where=both > 0)
    least, r, s = clouds.least_of_pairs(fisher)
    pairs = fisher[np.triu_indices(len(fisher), 1)]
    spread = float(np.sqrt(squares.mean() / 2))  # the mean squared distance of two points is twice their variance
    missing = min(N_COMPONENTS, len(label)) - len(shares)
    return {
        "radius": np.sqrt(variance),
        "participation_ratio": ratio,
        "spread": spread,
        "snr": spread**2 / float(variance.mean()) if variance.any() else np.nan,
        "fisher_mean": np.nanmean(pairs) if np.isfinite(pairs).any() else np.nan,
        "fisher_min": least,
        "fisher_min_pair": np.array([np.nan, np.nan] if np.isnan(least) else [label[r], label[s]], dtype=np.float64),
        "least_distance": np.sqrt(clouds.least_of_pairs(squares)[0]),
        "variance_share": np.pad(shares[:N_COMPONENTS], (0, max(missing, 0))),
        **(_ring(centroid, scores) if len(label) >= FEWEST_ON_A_RING else {}),
    }


def _ring(centroid: Float[np.ndarray, "cls dim"], scores: Float[np.ndarray, "cls component"]) -> dict[str, Any]:
    """Whether the answers lie on one; NaN where they differ by no more than rounding, or lie in one dimension."""
    basis, names = clouds.basis_of(len(centroid)), ("circularity", "ring_alignment", "ring_frequency")
    if scores.shape[1] < 2 or (scores**2).sum() <= 1e-12 * (centroid**2).sum():
        return {"power": np.full(basis.n_frequencies, np.nan), **dict.fromkeys(names, np.nan)}
    numbers = (clouds.circularity(scores), *clouds.ring(scores[:, 0], scores[:, 1]))
    return {"power": power_by_frequency(basis, centroid), **dict(zip(names, map(float, numbers), strict=True))}


def dimensions_of(output: RepresentationGeometry) -> PerSite:
    """Participation ratio of the inputs of one answer, mean over answers; NaN where they are one point."""
    return np.array([np.nan if np.isnan(ratios).all() else np.nanmean(ratios) for ratios in output.participation_ratio])


def measures(output: RepresentationGeometry) -> dict[str, float]:
    """Of each site: how far apart right answers lie, in how round a ring, in how many dimensions."""
    rings = () if output.circularity is None else (("circularity", output.circularity),)
    numbers = (("snr", output.snr), ("fisher_min", output.fisher_min), ("dimensions", dimensions_of(output)), *rings)
    last = {name: float(of[-1]) for name, of in numbers}
    return last | {f"{name} of {s}": float(x) for name, of in numbers for s, x in zip(output.site, of, strict=True)}


def nulls(geometry: Geometry, context: Context) -> Iterator[Null]:
    """Random answers, random layouts, untrained heads, and the untrained network."""
    last = geometry.last
    chance = clouds.rare_snr(len(last.label), int(last.n_inputs.sum()), _filled(last, -1))
    yield _against_answers("signal to noise", geometry, lambda o: float(o.snr[-1]), chance).of("overview")
    statistic = "participation ratio at the last site"
    yield against_untrained(statistic, geometry, lambda o: float(dimensions_of(o)[-1]), is_lower=True).of("dimensions")
    for layer, at in last_of_layers(last.site).items():
        yield _of_nearest_pair(geometry, at).of("separation", layer=layer)
        yield _of_ring("circularity", last.circularity, last.chance_circularity, at).of("circularity", layer=layer)
    for at, site in enumerate(last.site):
        yield _of_frequencies(last, at).of("frequencies", **options_of(site))
    for step, output in geometry.items():
        for at, site in enumerate(output.site):
            alignment = _of_ring("alignment of their angles", output.ring_alignment, output.chance_alignment, at)
            yield alignment.of("ring", step, **options_of(site))


def _of_nearest_pair(geometry: Geometry, at: int) -> Null:
    """Fisher's criterion of the two answers hardest to tell apart: of two classes twice the signal to noise."""
    chance = 2 * clouds.rare_snr(2, 2 * int(geometry.last.n_inputs.min()), _filled(geometry.last, at))
    statistic = "criterion of the nearest pair"
    return _against_answers(statistic, geometry, lambda output: float(output.fisher_min[at]), chance)


def _filled(output: RepresentationGeometry, at: int) -> float:
    filled = float(dimensions_of(output)[at])
    return round(filled, 1) if np.isfinite(filled) else 1.0


def _against_answers(
    statistic: str, geometry: Geometry, measure: Callable[[RepresentationGeometry], float], chance: float
) -> Null:
    """Random answers, or the untrained network where it parts the answers more than they would."""
    start = measure(geometry[0]) * MARGIN if geometry.steps[0] == 0 else 0.0
    if start > chance:
        return against_untrained(statistic, geometry, measure)
    return Null(statistic, measure(geometry.last), chance, "99 % of random answers", "matched")


def _of_ring(statistic: str, values: PerSite | None, chance: float | None, at: int) -> Null:
    """How round the answers lie at a site, or how well they follow one another around the plane of PC1 and PC2."""
    if values is None or chance is None:
        return TOO_FEW
    return Null(statistic, float(values[at]), chance, "99 % of untrained heads", "matched")


def _of_frequencies(last: RepresentationGeometry, at: int) -> Null:
    if last.power is None:
        return TOO_FEW
    share, chance = float(last.power[at].max()), largest_share(last.power.shape[1])
    return Null("largest share", share, chance, "99 % of random layouts", unit="share")


instrument = PerCheckpoint(representation_geometry, needs=HOOKS, measures=measures, nulls=nulls)
