"""How the loss lies around the network: steep or flat, a bowl or not, a minimum or a saddle."""

import numpy as np
import pandas as pd

from miscope.instruments._shared import curves
from miscope.instruments.loss_landscape.measure import LossLandscape, mean_rise, rise_over_parabola
from miscope.plugin import Artifact, Context, Table, lines, long, over_steps, view

RISE = "rise of the loss (nats)"
COLORS = curves.colors_of("value", "error")


@view(
    question="How steeply does the loss rise around the network?",
    reading="The mean rise of the train loss at a few distances in random directions, which are the same at every "
    "step, on a logarithmic axis. A flat minimum is low at every distance. As weights shrink, the same distance is a "
    "larger part of them. Where the mean does not rise, there is no point.",
    draw=lines("step", "rise", "distance", log_y=True, markers=True, titles={"rise": RISE}),
)
def overview(landscape: Artifact[LossLandscape], context: Context) -> Table:
    """One row per (distance, step) at which it is above 0; `rise` of the train loss in nats, mean over directions."""
    rise, first, last = mean_rise(landscape), landscape[landscape.steps[0]], landscape.last
    rows = long("rise", _where_above_0(rise).T, distance=_names_of_distances(last), step=landscape.steps)
    norms = f"{first.weight_norm:.0f} to {last.weight_norm:.0f}"
    return Table(rows, note=f"{len(first.rise)} directions; the weights' norm goes from {norms}")


def _names_of_distances(output: LossLandscape) -> list[str]:
    return [f"distance {distance:g}" for distance in output.distance]


def _where_above_0(values: np.ndarray) -> np.ndarray:
    """NaN elsewhere: a logarithmic axis has no place for it."""
    return np.where(values > 0, values, np.nan)


@view(
    question="How far out is the loss a parabola?",
    reading="1: at this distance the loss rises as the Hessian predicts. Far above 1 the loss rises faster than a "
    "parabola, and the Hessian at the network says little about that distance. The axis is logarithmic.",
    draw=lines("step", "ratio", "distance", log_y=True, markers=True, titles={"ratio": "rise / parabola's rise"}),
)
def bowl(landscape: Artifact[LossLandscape], context: Context) -> Table:
    """One row per (distance, step); `ratio` of the mean rise to distance^2 trace / (2 parameters), where both rise."""
    ratio, names = rise_over_parabola(landscape), _names_of_distances(landscape.last)
    return Table(long("ratio", ratio.T, distance=names, step=landscape.steps), marks={"parabola": 1.0})


@view(
    question="Does the loss rise equally in all directions?",
    reading="Random directions, sorted. A flat curve is a landscape that is the same in all directions; a curve that "
    "rises at the right has a few steep ones. The axis is logarithmic; directions in which the loss falls have no "
    "point.",
    draw=lines("rank", "rise", "distance", log_y=True, titles={"rank": "direction, from the flattest", "rise": RISE}),
)
def directions(landscape: Artifact[LossLandscape], context: Context, step: int) -> Table:
    """One row per (distance, rank), the flattest first; `rise` in nats above 0, of the last step measured by `step`."""
    measured = landscape.last_by(step)
    rise, every = np.sort(landscape[measured].rise, axis=0), landscape.stack("rise")
    names, rank = _names_of_distances(landscape.last), np.arange(1, len(rise) + 1)
    limits = {"rise": (float(every[every > 0].min()) / 1.2, float(every.max()) * 1.2)}
    rows = long("rise", _where_above_0(rise).T, distance=names, rank=rank)
    return Table(rows, limits=limits, note=f"measured at step {measured:,}")


@view(
    question="Is the network at a minimum or on a saddle?",
    reading="The smallest eigenvalue of the Hessian divided by the largest. Near 0 the loss falls in no direction; "
    "well below 0 it falls in one, and training has not converged. The true value may be lower than the one that "
    "Lanczos found.",
    draw=lines("step", "ratio", markers=True, titles={"ratio": "least eigenvalue / top eigenvalue"}),
)
def saddle(landscape: Artifact[LossLandscape], context: Context) -> Table:
    """One row per step; `ratio` of the least eigenvalue found to the top one. Lanczos sees the least less exactly."""
    top, least = over_steps(landscape, "top_eigenvalue", "least_eigenvalue").T
    ratio = np.divide(least, np.abs(top), out=np.zeros_like(top), where=top != 0)
    return Table(pd.DataFrame({"step": landscape.steps, "ratio": ratio}), marks={"minimum": 0.0})


@view(
    question="How sharp is the minimum?",
    reading="The top eigenvalue of the Hessian is the curvature in the steepest direction, the trace the sum over all "
    "directions; on a logarithmic axis, with bounds in grey. Full-batch gradient descent with rate r is unstable where "
    "the top eigenvalue is above 2 / r.",
    draw=lines("step", "curvature", "curve", "measure", log_y=True, titles={"curvature": " "}),
)
def sharpness(landscape: Artifact[LossLandscape], context: Context) -> Table:
    """One row per (measure, curve, step) above 0: the value, give or take Lanczos' or two of the trace's errors."""
    of_top = over_steps(landscape, "top_eigenvalue", "top_error").T
    trace, trace_error = over_steps(landscape, "trace", "trace_error").T
    values = _where_above_0(np.stack([curves.around(*of_top), curves.around(trace, 2 * trace_error)]))
    measures = ("top eigenvalue", "trace")
    rows = long("curvature", values, measure=measures, curve=tuple(COLORS), step=landscape.steps)
    note = f"converged in at most {landscape.stack('n_products').max()} products"
    if n_unsure := int((~landscape.stack("is_converged")).sum()):
        note = f"the top eigenvalue is not converged at {n_unsure} of {len(landscape)} steps"
    return Table(rows, colors=COLORS, note=note)
