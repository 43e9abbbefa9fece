"""Streamlit's AppTest over every page and every view."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import workspace
from streamlit.testing.v1 import AppTest

from miscope import catalog
from miscope.workspace import configuration

APP = Path(__file__).parents[2] / "app"
EXPLORE = """
from pathlib import Path
import explore, style
style.apply()
explore.page(Path({root!r}))
"""


def explored(root: Path, **query: str | list[str]) -> AppTest:
    """The page Explore as a link with this query opens it."""
    test = AppTest.from_string(EXPLORE.format(root=str(root)), default_timeout=120)
    for key, value in query.items():
        test.query_params[key.replace("__", ".")] = value
    return test.run()


def texts(test: AppTest) -> str:
    found = [*test.markdown, *test.info, *test.warning, *test.error, *test.code, *test.header, *test.caption]
    return "\n".join(str(element.value) for element in found)


def listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["main.py", "--root", str(root)])
    return AppTest.from_file(str(APP / "main.py"), default_timeout=120).run()


@pytest.mark.parametrize("view", catalog.views())
def test_every_view_opens_under_its_question(tiny: Path, view: str) -> None:
    test = explored(tiny, variant="tiny", view=view, step="100")
    assert not test.exception
    assert not test.error
    assert not [warning.value for warning in test.warning]
    assert catalog.view(view).question in texts(test)
    assert test.query_params["step"] == "100"


OVER_TRAINING = [view for view in catalog.views() if workspace.is_shown(view) and not catalog.view(view).is_per_step]


@pytest.mark.parametrize("view", OVER_TRAINING)
def test_moving_the_marker_gives_the_figure_that_is_drawn_at_that_step(tiny: Path, view: str) -> None:
    import data
    import figures

    loaded = data.load(tiny, "tiny")
    first, later = loaded.steps[1], loaded.steps[-2]
    drawn = figures.as_data(loaded.bound(view, first, ()))
    if drawn["layout"]["meta"]["clicks"] == "axis":
        assert figures.moved_to(drawn, later) == figures.as_data(loaded.bound(view, later, ()))


def test_without_a_query_the_page_opens_its_first_views_at_the_last_step(tiny: Path) -> None:
    test = explored(tiny)
    assert not test.exception
    assert test.query_params["variant"] == "tiny"
    assert test.query_params["step"] == "200"
    assert len(test.query_params["view"]) == 4


def test_a_step_without_a_checkpoint_snaps_to_the_nearest(tiny: Path) -> None:
    assert explored(tiny, variant="tiny", step="93").query_params["step"] == "100"


def test_the_slider_moves_the_address(tiny: Path) -> None:
    test = explored(tiny, variant="tiny", view="losses.overview", step="100")
    test.select_slider(key="step").set_value(160).run()
    assert test.query_params["step"] == "160"


def test_what_the_address_says_wrongly_is_told_and_not_dropped(tiny: Path) -> None:
    test = explored(tiny, variant="tiny", view="losses.overvieuw", step="soon")
    assert not test.exception
    assert "losses.overvieuw" in texts(test)
    assert "soon" in texts(test)


def test_an_untrained_variant_is_shown_with_the_command_that_trains_it(tiny: Path) -> None:
    test = explored(tiny, variant="untrained")
    assert not test.exception
    assert "is not trained" in texts(test)
    assert "dvc repro report@untrained" in texts(test)


def test_both_variants_are_listed_with_the_command_for_what_is_missing(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = listed(tiny, monkeypatch)
    assert not test.exception
    assert "modadd_p13_s1_d1_f0.5" in texts(test)
    assert "modadd_p17_s2_d0_f0.3" in texts(test)
    assert [code.value for code in test.code] == ["dvc repro report@untrained"]


def test_a_mistake_in_params_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("variants: {a: {family: modulo_adition}}\n")
    test = listed(tmp_path, monkeypatch)
    assert not test.exception
    assert "modulo_addition" in test.error[0].value


def test_the_app_imports_no_torch(tiny: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(APP)!r})\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"test = AppTest.from_string({EXPLORE.format(root=str(tiny))!r}, default_timeout=120).run()\n"
        "assert not test.exception and len(test.query_params['view']) == 4\n"
        "assert 'torch' not in sys.modules and 'transformer_lens' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ORDER = """
from pathlib import Path
import moves, style
style.apply()
moves.page(Path({root!r}))
"""


@pytest.mark.parametrize("instrument", catalog.instruments())
def test_the_catalogue_tells_what_an_instrument_gives_and_from_where(tiny: Path, instrument: str) -> None:
    import catalogue

    given = catalogue._outputs(catalog.instrument(instrument))
    assert len(given)
    assert (given["shape"] != "").all()
    documented = sys.modules[catalog.instrument(instrument).compute.__module__].__doc__ or ""
    assert "Source:" in documented


def test_the_page_order_draws_onsets_and_the_table_of_leads(tiny: Path) -> None:
    test = AppTest.from_string(ORDER.format(root=str(tiny)), default_timeout=120).run()
    assert not test.exception
    assert {"first", "then", "leads", "lags", "lead", "p"} <= set(test.dataframe[0].value.columns)
    few = len(test.dataframe[0].value)
    test.toggle(key="order.entries").set_value(True).run()
    assert len(test.dataframe[0].value) > few > 0
    assert {"kind", "before", "by", "penalty"} <= set(test.dataframe[1].value.columns)
    test.toggle(key="order.elbow").set_value(True).run()
    assert not test.exception


def test_the_app_draws_the_twin_behind_and_can_leave_it_out(pair: Path, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(pair, root)
    configuration.set_key(root, "tiny", "twin", "twin")
    import data
    import figures

    page = explored(root, variant="tiny", view="losses.overview")
    assert not page.exception and page.toggle(key="twin").value
    loaded = data.load(root, "tiny")
    dashes = [
        {trace.get("line", {}).get("dash") for trace in json.loads(text)["data"]}
        for text in (
            figures.figure_json(loaded, "losses.overview", 100, (), has_twin=has_twin) for has_twin in (True, False)
        )
    ]
    assert [("dash" in found) for found in dashes] == [True, False]
    page.toggle(key="twin").set_value(False).run()
    assert not page.exception
