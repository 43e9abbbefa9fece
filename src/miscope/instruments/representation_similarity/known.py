"""Representations that are turned, and two that share nothing."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import probe, tracked
from miscope.instruments.representation_similarity.measure import instrument
from miscope.instruments.representations.measure import BITS, Representations
from miscope.maths.codes import quantize
from miscope.plugin import Answer


def rotation_and_noise() -> Iterator[Answer]:
    """The same 200 inputs turned and doubled; two that are independent Gaussians of 100 dimensions.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3 (rotation); Muirhead 1982, section 3.2 (moments of the
    Wishart distribution: dim / (inputs + dim)); Nguyen et al. 2021, arXiv:2010.15327 (debiased: 0).
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200, 100))
    turn = np.linalg.qr(rng.normal(size=(100, 100)))[0]
    site, width, chosen = ("blocks.0.hook_resid_post",), np.array([100]), np.arange(200)
    codes = [quantize(values.astype(np.float32), BITS) for values in (x, 2 * x @ turn, y)]
    path = {step: Representations(site, width, chosen, *of) for step, of in enumerate(codes)}
    like = tracked(instrument, path, context=probe(200))
    yield Answer("CKA after rotation and scaling", 1, like.cka[0, 0, 1], 1e-4)
    yield Answer("debiased CKA after rotation and scaling", 1, like.debiased_cka[0, 0, 1], 1e-4)
    yield Answer("CKA of independent Gaussians", 100 / 300, like.cka[0, 0, 2], 0.02)
    yield Answer("chance that is drawn beside it", 100 / 300, like.gaussian_cka[0])
    yield Answer("debiased CKA of independent Gaussians", 0, like.debiased_cka[0, 0, 2], 0.02)
    yield Answer("dimension of Gaussians: 1 / (1 / 100 + 1 / 199)", 1 / (1 / 100 + 1 / 199), like.dimension[0, 0], 1.5)


cases = (rotation_and_noise,)
