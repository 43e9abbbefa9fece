"""Representations laid out by hand: circles, rotations, noise, and a circuit's own residual stream."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.analyzers import representation_geometry as geometry_file
from miscope.analyzers import representations as representations_file
from miscope.analyzers.representation_geometry import RepresentationGeometry
from miscope.analyzers.representations import Representations
from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Addition, Induction, on_planted, probe, shape, through_the_model, tracked
from miscope.core import Context, Probe
from miscope.maths.codes import coded

ADDITION, INDUCTION = Addition(), Induction()
POST = "blocks.0.hook_resid_post"
LEVEL = 2**-geometry_file.BITS  # of a centroid's coordinate as it is stored


def _of_classes(targets: np.ndarray, p: int) -> Context:
    n = len(targets)
    return replace(probe(n, p), probe=Probe(np.zeros((n, 1), dtype=np.int64), targets, np.ones(n, dtype=bool)))


def equal_circles() -> Iterator[Answer]:
    """Three answers whose inputs fill one, two and three circles of equal size, 60 inputs each.

    Source: g equal circles have 2 g equal eigenvalues, so a participation ratio of 2 g (Gao et al. 2017).
    """
    t = 2 * np.pi * np.arange(60) / 60
    circles = np.concatenate([[np.cos(k * t), np.sin(k * t)] for k in (1, 2, 3)]).T  # [input, 6]
    values = np.concatenate([circles * (np.arange(6) < 2 * g) + 10 * g for g in (1, 2, 3)])
    found = on_planted(
        "representation_geometry", shape(), _of_classes(np.repeat(np.arange(3), 60), 5), hook_resid_post=values
    )
    for g in (1, 2, 3):
        yield Answer(f"participation ratio of {g} circles", 2 * g, found.participation_ratio[0, g - 1], 1e-4)
        yield Answer(f"radius of {g} circles", np.sqrt(g), found.radius[0, g - 1], 1e-4)


def rings_of_centroids() -> Iterator[Answer]:
    """Answers r at cos and sin of w k r for published sets of key frequencies: how near do two answers come?

    Source: geometry; the least over r of sqrt(sum of 2 - 2 cos(w k r)) is 1.5215, 1.3705 and 0.9578.
    """
    sets = ((113, (9, 33, 38, 55), 1.5215), (59, (5, 15, 21), 1.3705), (109, (4, 14, 27), 0.9578))
    for p, keys, least in sets:
        answer = np.repeat(np.arange(p), 2)
        x = 2 * np.pi * answer[:, None] * np.array(keys) / p
        values = np.concatenate([np.cos(x), np.sin(x)], axis=1)
        found = on_planted("representation_geometry", shape(), _of_classes(answer, p), hook_resid_post=values)
        yield Answer(f"least distance modulo {p}", least, found.least_distance[0], 5e-5)
        yield Answer(f"spread modulo {p}", np.sqrt(len(keys)), found.spread[0], 1e-5)
        yield Answer(f"share of each key modulo {p}", 1 / len(keys), found.power[0, np.array(keys) - 1].min(), 1e-5)


def clouds_on_a_ring() -> Iterator[Answer]:
    """Thirteen answers on a circle of frequency 3, the inputs of each on a circle of half that size elsewhere.

    Source: geometry; Fisher 1936 (the criterion).
    """
    p, each = 13, 8
    answer = np.repeat(np.arange(p), each)
    around, inner = 2 * np.pi * 3 * answer / p, 2 * np.pi * np.tile(np.arange(each), p) / each
    values = np.stack([np.cos(around), np.sin(around), 0.5 * np.cos(inner), 0.5 * np.sin(inner)], axis=1)
    found = on_planted("representation_geometry", shape(), _of_classes(answer, p), hook_resid_post=values)
    yield Answer("signal to noise: 1 / 0.25", 4, found.snr[0], 1e-5)
    yield Answer("mean Fisher criterion", 2 * p / (p - 1) / 0.5, found.fisher_mean[0], 1e-5)
    yield Answer("least Fisher criterion: neighbours", (2 * np.sin(np.pi / p)) ** 2 / 0.5, found.fisher_min[0], 1e-5)
    yield Answer("circularity", 1, found.circularity[0], 1e-5)
    yield Answer("frequency of the ring", 3, found.ring_frequency[0])
    yield Answer("its alignment", 1, found.ring_alignment[0], 1e-5)


def geometry_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: what its MLP writes for an answer lies on rings of 3, 7, 12, by gains 3, 2, 1.

    Source: see `calibration.models.Addition`; energies are squares of gains, and |cos| is half of a square's mean.
    """
    found = through_the_model("representation_geometry", ADDITION.checkpoint(), ADDITION.context)
    at = found.site.index("blocks.0.hook_mlp_out")
    mean, gains = ADDITION.mean_size, np.array(ADDITION.gains) ** 2
    for k, gain in zip(ADDITION.frequencies, gains, strict=True):
        yield Answer(f"share of frequency {k} in the centroids", gain / gains.sum(), found.power[at, k - 1], 1e-4)
    yield Answer(
        "signal to noise: mean of |cos| squared over its variance", mean**2 / (0.5 - mean**2), found.snr[at], 0.01
    )
    resid = found.site.index("blocks.0.hook_resid_pre")
    yield Answer("spread of the answers before the layer, at `=`", 0, found.spread[resid])


def stream_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit: at the answer position the stream gains 4 in the direction of the right token.

    Source: by construction.
    """
    context = INDUCTION.family.context(0)
    found = through_the_model("representations", INDUCTION.checkpoint(), context)
    at = found.site.index("blocks.1.hook_attn_out")
    start = int(found.width[:at].sum())
    written = found.value[:, start : start + found.width[at]]
    first = 2 * INDUCTION.model.d_vocab + INDUCTION.model.n_ctx  # of the answers' directions
    expected = np.zeros_like(written)
    expected[np.arange(len(written)), first + context.probe.targets[found.chosen]] = INDUCTION.gain
    yield Answer("largest error of what the last layer writes", 0, np.abs(written - expected).max(), 1e-5)
    yield Answer(
        "root mean square of it", INDUCTION.gain / np.sqrt(found.width[at]), np.sqrt((written**2).mean()), 1e-5
    )


def probes_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit: after its first layer the stream holds the token before, and until then it does not.

    Source: by construction; a one-hot label is linear, and shuffled labels are not to be found.
    """
    context = INDUCTION.family.context(0)
    found = through_the_model("linear_probes", INDUCTION.checkpoint(), context)
    before = found.latent.index("previous token")
    yield Answer("accuracy for the token before, after layer 0", 1, found.accuracy[1, before])
    yield Answer("the same in the embedding: about 1 of 16", 1 / 15, found.accuracy[0, before], 0.05)
    yield Answer("the same for shuffled labels", 1 / 16, found.shuffled[1, before], 0.05)


def rotation_and_noise() -> Iterator[Answer]:
    """The same 200 inputs turned and doubled; two that are independent Gaussians of 100 dimensions.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3 (rotation); Muirhead 1982, section 3.2 (moments of the
    Wishart distribution: dim / (inputs + dim)); Nguyen et al. 2021, arXiv:2010.15327 (debiased: 0).
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200, 100))
    turn = np.linalg.qr(rng.normal(size=(100, 100)))[0]
    path = {step: _represented(values) for step, values in enumerate((x, 2 * x @ turn, y))}
    found = tracked("representation_similarity", path, context=probe(200))
    yield Answer("CKA after rotation and scaling", 1, found.cka[0, 0, 1], 1e-4)
    yield Answer("debiased CKA after rotation and scaling", 1, found.debiased_cka[0, 0, 1], 1e-4)
    yield Answer("CKA of independent Gaussians", 100 / 300, found.cka[0, 0, 2], 0.02)
    yield Answer("chance that is drawn beside it", 100 / 300, found.gaussian_cka[0])
    yield Answer("debiased CKA of independent Gaussians", 0, found.debiased_cka[0, 0, 2], 0.02)
    yield Answer("dimension of Gaussians: 1 / (1 / 100 + 1 / 199)", 1 / (1 / 100 + 1 / 199), found.dimension[0, 0], 1.5)


def _represented(x: np.ndarray) -> Representations:
    return Representations(
        (POST,), np.array([x.shape[1]]), np.arange(len(x)), *coded(x.astype(np.float32), representations_file.BITS)
    )


def a_circle_that_grows_and_drifts() -> Iterator[Answer]:
    """Five centroids on a circle whose radius is the step and whose centre moves by 3 a step, at steps 1, 2, 4, 8.

    Source: geometry.
    """
    angle = 2 * np.pi * np.arange(5) / 5
    circle = np.stack([np.cos(angle), np.sin(angle), *np.zeros((6, 5))], axis=1)
    path = {step: _centroids(step * circle + 3 * step * np.eye(8)[2]) for step in (1, 2, 4, 8)}
    found = tracked("centroid_trajectory", path, context=probe(5))
    yield Answer("share of each of two components", 0.5, found.explained_variance[0, 1], LEVEL)
    yield Answer("speed about the centre", 1, found.speed[0].mean(), LEVEL)
    yield Answer("speed of the centre", 3, found.centre_speed[0].mean(), 1e-5)
    radii = np.linalg.norm(found.coordinate[0], axis=2)
    yield Answer(
        "largest relative error of a radius", 0, np.abs(radii / np.array([[1], [2], [4], [8]]) - 1).max(), LEVEL
    )
    yield Answer("least fit", 1, found.fit.min(), 1e-5)


def _centroids(points: np.ndarray) -> RepresentationGeometry:
    """A geometry of which the centroids alone are read."""
    one, n = np.ones(1), len(points)
    return RepresentationGeometry(
        site=(POST,), width=np.array([points.shape[1]]), label=np.arange(n), n_inputs=np.full(n, 2),
        radius=np.ones((1, n)), participation_ratio=np.ones((1, n)), spread=one, snr=one, chance_snr=1.0,
        fisher_mean=one, fisher_min=one, fisher_min_pair=np.zeros((1, 2)), least_distance=one,
        variance_share=np.zeros((1, 8)), has_native_order=True,
        **coded(points.astype(np.float32), geometry_file.BITS)._asdict(),
    )  # fmt: skip


cases = (
    Case("representation_geometry", equal_circles),
    Case("representation_geometry", rings_of_centroids),
    Case("representation_geometry", clouds_on_a_ring),
    Case("representation_geometry", geometry_of_an_exact_adder),
    Case("representations", stream_of_a_built_circuit),
    Case("linear_probes", probes_of_a_built_circuit),
    Case("representation_similarity", rotation_and_noise),
    Case("centroid_trajectory", a_circle_that_grows_and_drifts),
)
