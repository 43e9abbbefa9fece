"""What every view of filtered logits says of its filter."""

from miscope.trackers.progress_measures import ProgressMeasures


def note(measures: ProgressMeasures) -> str:
    """Which keys, where they are from, and whether the basis belongs to the task."""
    keys = ", ".join(map(str, measures.key_frequency.tolist()))
    basis = "" if measures.is_native else " The task has no such input group: the basis is the DFT over its tokens."
    return f"keys: {keys or 'none'}. {measures.key_rule}{basis}"
