"""Names and colours of groups of neurons, shared by the views of them."""

import numpy as np

from miscope.maths.null_distributions import gain
from miscope.renderers import theme
from miscope.trackers.neuron_groups import NeuronGroups
from miscope.views.shared import nulls

ALL = "all neurons"


def names(groups: NeuronGroups) -> list[str]:
    """`k = 8 (102 neurons)`, `all neurons`; in a network of several layers `layer 1, k = 8 (102 neurons)`."""
    n_layers = int(groups.layer.max()) + 1
    kinds = [f"k = {k} ({n} neurons)" if k else ALL for k, n in zip(groups.frequency, groups.size, strict=True)]
    return [f"layer {i}, {kind}" if n_layers > 1 else kind for i, kind in zip(groups.layer, kinds, strict=True)]


def tones(groups: NeuronGroups) -> dict[str, str]:
    """Grey for all neurons of a layer."""
    return {name: theme.GREY for name, k in zip(names(groups), groups.frequency, strict=True) if not k}


def note(groups: NeuronGroups) -> str:
    """How many neurons are in groups, and by which rule."""
    n = int((groups.member > 0).sum())
    return f"{n:,} of {groups.member.size:,} neurons end with {groups.level:.0%} of what they read at one frequency"


def there_are_none(groups: NeuronGroups) -> str:
    """The verdict where no frequency has enough neurons."""
    return nulls.against("neurons in groups of one frequency", int((groups.member > 0).sum()), 0, "random neurons")


def of_shape(groups: NeuronGroups) -> str:
    """The verdict on the group that is most bent at the end, by what the best of as many flat ones would gain."""
    at = np.flatnonzero(groups.frequency)
    if not at.size:
        return there_are_none(groups)
    null = np.array([max(groups.least_gain, gain(int(n), 3, 6, at.size)) for n in groups.size[at]])
    best = int((groups.r2_gain[at, -1] / null).argmax())
    what = f"gain in R2 (group of k = {groups.frequency[at[best]]})"
    return nulls.against(what, float(groups.r2_gain[at[best], -1]), null[best], "99 % of flat groups")
