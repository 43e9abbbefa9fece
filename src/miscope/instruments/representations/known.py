"""What an induction circuit writes into its stream."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Induction, through_the_model
from miscope.instruments._shared.sites import columns
from miscope.instruments.representations.measure import instrument
from miscope.plugin import Answer

INDUCTION = Induction()


def stream_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit: at the answer position the stream gains 4 in the direction of the right token.

    Source: by construction.
    """
    context = INDUCTION.family.context(0)
    seen = through_the_model(instrument, INDUCTION.checkpoint(), context)
    written = seen.value[:, columns(seen.width, seen.site.index("blocks.1.hook_attn_out"))]
    first = 2 * INDUCTION.model.d_vocab + INDUCTION.model.n_ctx  # of the answers' directions
    expected = np.zeros_like(written)
    expected[np.arange(len(written)), first + context.probe.targets[seen.chosen]] = INDUCTION.gain
    mean_square, size = INDUCTION.gain**2 / written.shape[1], np.sqrt((written**2).mean())
    yield Answer("largest error of what the last layer writes", 0, np.abs(written - expected).max(), 1e-5)
    yield Answer("root mean square of it", np.sqrt(mean_square), size, 1e-5)


cases = (stream_of_a_built_circuit,)
