"""Arrays to tables, and tables to axes."""

import numpy as np
import pandas as pd

from miscope.instrument import Table
from miscope.renderers import Frame, lines
from miscope.renderers.tidy import joined, long


def test_long_gives_one_row_per_measured_cell_in_c_order() -> None:
    rows = long("v", np.array([[1.0, np.nan], [3.0, 4.0]]), row=(10, 20), name=("a", "b"))
    assert rows.to_dict("list") == {"row": [10, 20, 20], "name": ["a", "a", "b"], "v": [1.0, 3.0, 4.0]}


def test_tables_under_one_another_are_told_apart() -> None:
    both = joined([pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [2, 3]})], ("one", "other"), "variant")
    assert both["x"].tolist() == [1, 2, 3]
    assert both["variant"].tolist() == ["one", "other", "other"]


def test_the_step_axis_spans_training_where_the_table_does_not() -> None:
    phases = type("Phases", (), {"phase": ("all",), "phase_start": np.array([0]), "phase_end": np.array([1000])})()
    table = Table(pd.DataFrame({"step": [50, 950], "speed": [1.0, 2.0]}))
    drawn = lines("step", "speed").draw(table, Frame("How fast?", phases=phases))
    assert tuple(drawn.layout.xaxis.range) == (0, 1000)
