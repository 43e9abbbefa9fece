"""docs/training.md names every key that a variant may say."""

import re

import pytest
import workspace

from miscope.core import Recipe, field_names


@pytest.mark.parametrize("key", [*field_names(Recipe), "seed", "data_seed", "model", "checkpoints", "branch"])
def test_every_key_of_a_variant_is_in_the_table(key: str) -> None:
    text = (workspace.REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert key in named
