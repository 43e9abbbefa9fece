"""A real browser on the artifacts of the tiny pipeline."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

OpenTab = Callable[[str], Page]


def wait_for_step(page: Page, step: int) -> None:
    """Until the figure on the page is that of this step, and the address says so."""
    page.wait_for_function(
        """step => { const gd = document.querySelector('.js-plotly-plot');
        return gd && gd.layout && gd.layout.meta.step === step && location.search.includes('step=' + step); }""",
        arg=step,
    )


def plotted(page: Page) -> Any:
    return page.evaluate("JSON.stringify(document.querySelector('.js-plotly-plot').data)")


def press(page: Page, key: str) -> None:
    page.locator(".stSlider input[type=range]").focus()
    page.keyboard.press(key)


@pytest.mark.parametrize("view", ["dominant_frequencies.overview", "neuron_activations.overview"])  # one never stored
def test_the_slider_changes_figure_and_address_and_the_address_reopens_it(
    view: str, address: str, open_tab: OpenTab
) -> None:
    page = open_tab(f"{address}/explore?variant=tiny&view={view}&step=100")
    wait_for_step(page, 100)
    before = plotted(page)
    press(page, "ArrowRight")
    wait_for_step(page, 120)
    assert plotted(page) != before
    again = open_tab(page.url)
    wait_for_step(again, 120)
    assert plotted(again) == plotted(page)


def test_clicking_a_curve_moves_the_slider(address: str, open_tab: OpenTab) -> None:
    page = open_tab(f"{address}/explore?variant=tiny&view=losses.overview&step=200")
    wait_for_step(page, 200)
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.31 * box["width"], box["y"] + 0.5 * box["height"])
    wait_for_step(page, 60)


def test_two_tabs_do_not_disturb_each_other(address: str, open_tab: OpenTab) -> None:
    link = f"{address}/explore?variant=tiny&view=dominant_frequencies.overview&step="
    one, other = open_tab(f"{link}40"), open_tab(f"{link}160")
    wait_for_step(one, 40)
    wait_for_step(other, 160)
    press(one, "ArrowRight")
    wait_for_step(one, 60)
    assert "step=160" in other.url
    press(other, "ArrowLeft")
    wait_for_step(other, 140)
    assert "step=60" in one.url


def test_play_walks_through_the_checkpoints(address: str, open_tab: OpenTab) -> None:
    page = open_tab(f"{address}/explore?variant=tiny&view=losses.overview&step=0")
    wait_for_step(page, 0)
    page.get_by_role("button", name="Play").click()
    wait_for_step(page, 40)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play").wait_for()


def test_a_variant_is_explored_from_its_card(address: str, open_tab: OpenTab) -> None:
    page = open_tab(address)
    page.get_by_role("link", name="Explore").nth(1).click()
    wait_for_step(page, 200)
    assert "variant=tiny" in page.url


@pytest.mark.parametrize(
    ("path", "heading", "then"),
    [("catalogue", "Catalogue", "What it measures"), ("lead_lag", "Which measure changed first?", "Pairs of measures"),
     ("train", "Train", "Add to params.yaml")],
)  # fmt: skip
def test_the_other_pages_open(path: str, heading: str, then: str, address: str, open_tab: OpenTab) -> None:
    page = open_tab(f"{address}/{path}")
    page.get_by_role("heading", name=heading, exact=True).wait_for()
    page.get_by_text(then, exact=True).first.wait_for()
    assert page.locator(".stException, .stAlert").count() == 0


def test_a_view_opens_from_the_catalogue(address: str, open_tab: OpenTab) -> None:
    page = open_tab(f"{address}/catalogue")
    page.get_by_role("link", name="Open").first.click()
    page.wait_for_url("**/explore?*view=*")
