"""The page Catalogue: what an instrument measures, and its maths as KaTeX sets it."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import catalogue
import pytest
from pages import APP, served
from playwright.sync_api import Page

from miscope.catalog import builtin

SCRIPT = """
import sys
sys.path.insert(0, {app!r})
import catalogue
import streamlit as st
from miscope.catalog import builtin

st.set_page_config(layout="wide")
for name in builtin().names:
    catalogue.show_maths(catalogue.description(builtin().instrument(name)))
st.markdown("One that breaks off, $\\\\frac{{1$, and one of an unknown command, $\\\\nonsense$.")
st.write("The end.")
"""

NARROW = """() => {
const displays = [...document.querySelectorAll('.katex-display')];
const scrolls = e => getComputedStyle(e).overflowX === 'auto';
const isCut = e => e.getBoundingClientRect().right > innerWidth || (e.scrollWidth > e.clientWidth && !scrolls(e));
return [displays.map(e => [e.scrollWidth, e.clientWidth]), displays.filter(isCut).length]; }"""


def docstring(name: str) -> str:
    return sys.modules[builtin().instrument(name).compute.__module__].__doc__ or ""


@pytest.mark.browser
def test_katex_sets_the_maths_of_all_instruments_and_a_narrow_page_holds_it(
    tmp_path: Path, open_tab: Callable[[str], Page]
) -> None:
    script = tmp_path / "maths.py"
    script.write_text(SCRIPT.format(app=str(APP)), encoding="utf-8")
    n_displays = sum(docstring(name).count("$$") // 2 for name in builtin().names)
    with served(script) as address:
        page = open_tab(address)
        page.get_by_text("The end.", exact=True).wait_for()
        page.locator(".katex-error").first.wait_for()
        assert page.locator(".katex-error").all_inner_texts() == ["\\frac{1"]  # the one that breaks off, and no other
        assert page.locator(".katex mstyle[mathcolor]").all_text_contents() == ["\\nonsense"]
        assert page.locator(".katex-display").count() >= n_displays >= len(builtin().names)
        assert "$" not in page.locator(".stMainBlockContainer").inner_text()
        page.set_viewport_size({"width": 420, "height": 900})
        page.wait_for_function("document.documentElement.clientWidth === 420")
        widths, n_cut = page.evaluate(NARROW)
        assert n_cut == 0
        assert sum(needed > given for needed, given in widths) < len(widths) / 4  # the others go on in the next line


@pytest.mark.parametrize("name", builtin().names)
def test_a_docstring_is_told_in_parts_and_every_field_of_the_output_with_its_shape(name: str) -> None:
    instrument = builtin().instrument(name)
    outputs = catalogue._outputs(instrument)
    assert outputs["field"].tolist() == [field.name for field in fields(instrument.output_type)]
    assert (outputs["shape"] != "").all()
    told = catalogue.description(instrument)
    assert all(told)
    assert "\n" not in told.title
    assert not [part for part in told if "Maths:" in part or "Source:" in part]
    words = {word for word in docstring(name).split() if word.isalpha()} - {"Maths:", "Source:"}
    assert words <= set(" ".join(told).replace("{", " ").replace("}", " ").split())


def test_the_papers_of_a_source_are_links() -> None:
    sources = {name: catalogue.description(builtin().instrument(name)).source for name in builtin().names}
    for name, source in sources.items():
        named = docstring(name).rpartition("Source:")[2]
        assert source.count("](https://arxiv.org/abs/") == named.count("arXiv:")
        assert source.count("](https://doi.org/10.") == named.count("doi:")
    fisher = "10.1111/j.1469-1809.1936.tb02137.x"
    assert f"Fisher 1936, [doi:{fisher}](https://doi.org/{fisher}) (the criterion" in sources["representation_geometry"]
    assert "2301.05217](https://arxiv.org/abs/2301.05217), section 4.2" in sources["neuron_spectra"]


def test_a_formula_may_begin_a_line_between_its_parts_alone() -> None:
    assert catalogue._breakable("\na = b, \\qquad\nc = d + e") == "{a = b,} \\qquad \\allowbreak {c = d + e}"


MODULE = '''
"""class Angles: not this one."""
from dataclasses import dataclass
from miscope.plugin import Output

@dataclass(frozen=True)
class Common(Output):
    n: int  # how many, > 0

@dataclass(frozen=True)
class Angles(Common):
    """
class Angles is no class here"""
    angle: float  # in radians
'''


def test_fields_are_read_from_the_syntax_tree_of_the_module_and_those_of_a_base_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "angles_of_heads.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("angles_of_heads").Angles
    rows = [row for cls in kind.__mro__[::-1] for row in catalogue._annotated(cls)]
    assert [(row["field"], row["meaning"]) for row in rows] == [("n", r"how many, \> 0"), ("angle", "in radians")]
