"""Names and colours of groups of neurons, shared by the views of them."""

from miscope.renderers import theme
from miscope.trackers.neuron_groups import NeuronGroups

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
