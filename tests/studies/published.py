"""Published runs and fits, where ../shared lies beside the repository; their tests skip elsewhere."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from miscope.maths.power_laws import Law
from miscope.scaling import results
from miscope.scaling.parametric import Points, fitted

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "scaling"


def path(name: str) -> Path:
    if not (FOLDER / name).is_file():
        pytest.skip(f"the published runs are not at {FOLDER / name}")
    return FOLDER / name


def chinchilla(n_highest_left_out: int = 5, below_flops: float = np.inf) -> Points:
    """245 runs read off figure 4 of Hoffmann et al. 2022 by Besiroglu et al. 2024, arXiv:2404.10102."""
    runs = results.read(path("epoch_chinchilla_svg_extracted.csv"))
    rank = np.argsort(np.argsort(-runs.loss))
    kept = (rank >= n_highest_left_out) & (runs.budget < below_flops)
    return Points(runs.parameters[kept], runs.tokens[kept], runs.loss[kept])


@cache
def chinchilla_law() -> Law:
    """Huber's fit to the 240."""
    return fitted(chinchilla(), "huber")
