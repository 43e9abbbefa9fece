"""The circuit that forms under a flat test loss: what filtered logits lose and keep."""

import numpy as np

from miscope.instruments.progress_measures.measure import ProgressMeasures
from miscope.plugin import Context, Table, lines, long, theme, view

LOSSES = ("train", "test", "restricted", "excluded (train)")
FILTERS = ("restricted, all inputs", "restricted, train", "restricted, test", "cosines alone, all inputs")
ALL, ANY, NONE = "all keys", "any one, at its worst", "nothing (train loss)"
PARTS = ("cos and sin(w s)", "cos(w (s − c))")


@view(
    question="Does the circuit form before the test loss falls?",
    reading="Restricted: the loss with the key frequencies of the logits alone. Excluded: the train loss without them. "
    "If restricted loss falls and excluded loss rises while the test loss is high, a circuit forms that the test loss "
    "does not show; where restricted loss is below test loss, memorisation hides it. The key frequencies are known "
    "only at the end.",
    draw=lines("step", "loss", "measure", log_y=True, titles={"loss": "loss (nats)"}),
)
def overview(progress: ProgressMeasures, context: Context) -> Table:
    """One row per (measure, step); `loss` in nats, the restricted one over all inputs. Without a key: none without it.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.2 and figure 7.
    """
    curves = (progress.train_loss, progress.test_loss, progress.restricted_loss[0], progress.excluded_loss)
    rows = long("loss", np.stack(curves), measure=LOSSES, step=progress.steps)
    return Table(rows, colors=dict(zip(LOSSES, theme.PALETTE, strict=False)), note=_of_keys(progress))


@view(
    question="When does the network need each key frequency?",
    reading="The train loss without one frequency of the logits, on a logarithmic axis. A curve leaves the train loss "
    "when answers begin to need the frequency. All keys together cost more than any one, because the others replace "
    "it.",
    draw=lines("step", "loss", "excluded", log_y=True, titles={"loss": "train loss without it (nats)"}, labelled=True),
)
def frequencies(progress: ProgressMeasures, context: Context) -> Table:
    """One row per (excluded, step); train `loss` in nats. `any one` is the frequency that costs most at that step."""
    names = [NONE, ALL, ANY, *(f"k = {k}" for k in progress.key_frequency.tolist())]
    curves = (progress.train_loss, progress.excluded_loss, progress.single_loss, *progress.key_excluded_loss)
    rows = long("loss", np.stack(curves), excluded=names, step=progress.steps)
    return Table(rows, colors={NONE: theme.GREY, ALL: theme.INK, ANY: theme.PALE}, note=_of_keys(progress))


@view(
    question="How good is the network with its key frequencies alone?",
    reading="If the three curves agree, the restricted logits do not depend on which inputs were trained on. If the "
    "loss with cosines of s minus c alone is lower still, the rest of the restricted logits is noise.",
    draw=lines("step", "loss", "measure", log_y=True, titles={"loss": "loss (nats)"}),
)
def losses(progress: ProgressMeasures, context: Context) -> Table:
    """One row per (measure, step); `loss` in nats. Without a key: no rows.

    Source: Nanda et al. 2023, arXiv:2301.05217, sections 4.4 and 5.1.
    """
    values = np.vstack([progress.restricted_loss, progress.trig_loss])
    return Table(long("loss", values, measure=FILTERS, step=progress.steps), note=_of_keys(progress))


@view(
    question="How much of the logits do the key frequencies explain?",
    reading="The share of the logits' energy in functions of s at the key frequencies, and in cosines of s minus the "
    "output c alone. If both are near 1, the logits are those of the exact circuit.",
    draw=lines("step", "share", "part", titles={"share": "share of the logits' energy"}),
)
def shares(progress: ProgressMeasures, context: Context) -> Table:
    """One row per (part, step); `share` of the logits' energy at the keys, in [0, 1]. Without a key: no rows.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1 (logits as a weighted sum of cosines of a + b - c).
    """
    rows = long("share", np.stack([progress.key_share, progress.trig_share]), part=PARTS, step=progress.steps)
    return Table(rows, limits={"share": (0.0, 1.0)}, note=_of_keys(progress))


def _of_keys(progress: ProgressMeasures) -> str:
    """Which keys, where they are from, and whether the basis belongs to the task."""
    keys = ", ".join(map(str, progress.key_frequency.tolist()))
    basis = "" if progress.is_native else " The task has no such input group: the basis is the DFT over its tokens."
    return f"keys: {keys or 'none'}. {progress.key_rule}{basis}"
