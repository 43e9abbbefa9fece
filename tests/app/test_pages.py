"""Streamlit's AppTest over every page and every view."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import data
import figures
import pytest
import workspace
from pages import APP, opened, script, texts
from small import OWN
from streamlit.testing.v1 import AppTest

from miscope.catalog import builtin
from miscope.workspace import analysis, configuration


def listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The whole app, which opens on the page Variants."""
    monkeypatch.setattr(sys, "argv", ["main.py", "--root", str(root)])
    test = AppTest.from_file(str(APP / "main.py"), default_timeout=120).run()
    assert not test.exception
    return test


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny / "artifacts", tmp_path / "artifacts")
    shutil.copy(tiny / "params.yaml", tmp_path)
    return tmp_path


# ---------------------------------------------------------------- Explore


@pytest.mark.parametrize("view", builtin().views())
def test_every_view_opens_under_its_question(tiny: Path, view: str) -> None:
    test = opened("explore", tiny, variant="tiny", view=view, step="100")
    assert not test.error
    assert not [warning.value for warning in test.warning]
    assert builtin().view(view).question in texts(test)
    assert test.query_params["step"] == "100"


def test_moving_the_marker_gives_the_figure_that_is_drawn_at_that_step(tiny: Path) -> None:
    loaded = data.OpenWorkspace(tiny).load("tiny")
    first, later = loaded.steps[1], loaded.steps[-2]
    shown = [view for view in builtin().views() if workspace.is_shown(view) and not builtin().view(view).is_per_step]
    drawn = {view: figures.as_data(loaded.bound(view, first, ())) for view in shown}
    moved = {v: figures.moved_to(d, later) for v, d in drawn.items() if d["layout"]["meta"]["clicks"] == "axis"}
    assert len(moved) > len(shown) / 2
    assert [view for view in moved if moved[view] != figures.as_data(loaded.bound(view, later, ()))] == []


def test_without_a_query_the_page_opens_its_first_views_at_the_last_step(tiny: Path) -> None:
    test = opened("explore", tiny)
    assert test.query_params["variant"] == "tiny"
    assert test.query_params["step"] == "200"
    assert len(test.query_params["view"]) == 4


def test_a_step_without_a_checkpoint_snaps_to_the_nearest_and_the_slider_moves_the_address(tiny: Path) -> None:
    test = opened("explore", tiny, variant="tiny", view="losses.overview", step="93")
    assert test.query_params["step"] == "100"
    test.select_slider(key="step").set_value(160).run()
    assert test.query_params["step"] == "160"


def test_what_the_address_says_wrongly_is_told_and_not_dropped(tiny: Path) -> None:
    test = opened("explore", tiny, variant="tiny", view="losses.overvieuw", step="soon")
    assert "losses.overvieuw" in texts(test)
    assert "`soon` is not a whole number" in texts(test)


def test_an_untrained_variant_is_shown_with_the_command_that_trains_it(tiny: Path) -> None:
    test = opened("explore", tiny, variant="untrained")
    assert "is not trained" in texts(test)
    assert "dvc repro report@untrained" in texts(test)


def test_what_vanishes_while_the_page_is_open_is_told_with_the_command_that_makes_it(copied: Path) -> None:
    test = opened("explore", copied, variant="tiny", view="losses.overview")
    assert "dvc repro" not in texts(test)
    losses = copied / "artifacts" / "tiny" / "instruments" / "losses"
    for vanish, sentence in (
        (next(losses.glob("*100.npz")).unlink, "lacks 1 of 11 checkpoints"),
        (lambda: shutil.rmtree(losses), "`tiny` has no `losses`"),
    ):
        vanish()
        test.run()
        assert not test.exception
        assert sentence in texts(test) and "dvc repro report@tiny" in texts(test)


def test_the_app_draws_the_control_run_behind_and_can_leave_it_out(pair: Path, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(pair, root)
    configuration.set_key(root, "tiny", "control", "other")
    test = opened("explore", root, variant="tiny", view="losses.overview")
    assert test.toggle(key="control").value
    loaded = data.OpenWorkspace(root).load("tiny")
    for has_control in (True, False):
        drawn = json.loads(figures.figure_json(loaded, "losses.overview", 100, (), has_control=has_control))
        assert ("dash" in {trace.get("line", {}).get("dash") for trace in drawn["data"]}) is has_control
    test.toggle(key="control").set_value(False).run()
    assert not test.exception


# ---------------------------------------------------------------- the other pages


def test_both_variants_are_listed_with_the_command_for_what_is_missing(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = listed(tiny, monkeypatch)
    assert "modadd_p13_s1_d1_f0.5" in texts(test)
    assert "modadd_p17_s2_d0_f0.3" in texts(test)
    assert [code.value for code in test.code] == ["dvc repro report@untrained"]


def test_a_mistake_in_params_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("variants: {a: {family: modulo_adition}}\n")
    assert "modulo_addition" in listed(tmp_path, monkeypatch).error[0].value


def test_the_page_compare_draws_both_and_its_link_reopens_it(pair: Path, tiny: Path) -> None:
    test = opened("compare", pair)
    assert not test.error
    assert test.query_params["compared"] == ["other", "tiny"]  # as params.yaml has them
    test = test.multiselect("compared").set_value(["tiny"]).run()
    assert "Choose 2 to 4 variants" in test.info[0].value
    assert opened("compare", pair, align="memorised").selectbox("align").value == "memorised"
    assert "It takes two trained variants" in opened("compare", tiny).info[0].value


def test_the_page_lead_lag_draws_onsets_and_the_table_of_pairs(tiny: Path) -> None:
    test = opened("lead_lag", tiny)
    assert {"first", "then", "leads", "lags", "lead", "p"} <= set(test.dataframe[0].value.columns)
    few = len(test.dataframe[0].value)
    test.toggle(key="lead_lag.parts").set_value(True).run()
    assert len(test.dataframe[0].value) > few > 0
    assert {"kind", "before", "by", "penalty"} <= set(test.dataframe[1].value.columns)
    test.toggle(key="lead_lag.elbow").set_value(True).run()
    assert not test.exception


def test_the_app_imports_no_torch(tiny: Path) -> None:
    test = (
        f"import sys; sys.path.insert(0, {str(APP)!r})\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"test = AppTest.from_string({script('explore', tiny)!r}, default_timeout=120).run()\n"
        "assert not test.exception and len(test.query_params['view']) == 4\n"
        "assert 'torch' not in sys.modules and 'transformer_lens' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", test], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- instruments of the user's own

DECLARED = "\ninstruments:\n  own_lab.mean: {}\n  own_lab.broken: {}\n  own_lab.unseen: {}"


def test_instruments_of_ones_own_are_in_the_app_like_ours_and_what_is_wrong_with_one_is_told(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # the workspace's folder is added to it
    params = copied / "params.yaml"
    params.write_text(params.read_text().replace("\ninstruments:", DECLARED, 1))
    (copied / "own_lab").mkdir()
    modules = {"mean": OWN, "broken": "import nowhere", "unseen": OWN.replace(", nulls=nulls", "")}
    for name, text in modules.items():
        (copied / "own_lab" / f"{name}.py").write_text(text)
    opening = data.OpenWorkspace(copied)
    analysis.bring_up_to_date(opening.config, opening.folder("tiny"), ["mean"])
    assert opening.load("tiny").status("mean").state == "fresh"

    test = opened("explore", copied, variant="tiny", view="mean.overview", **{"mean.overview.times": "2.0"})
    assert not test.warning and "dvc repro" not in texts(test)
    assert "How much do heads attend?" in texts(test)
    catalogue = opened("catalogue", copied)
    for page in (opened("variants", copied), catalogue):
        first, second = (warning.value for warning in page.warning)
        assert first.startswith("The instrument `broken` is left out.") and "No module named 'nowhere'" in first
        assert second.startswith("The views of `unseen` are left out.") and "`nulls=`" in second
    catalogue.selectbox(key="catalogue.instrument").set_value("mean").run()
    assert not catalogue.exception
    assert "How much heads attend on average." in texts(catalogue)
    assert "own_lab.mean: {scale: 1.0}" in texts(catalogue)
    assert catalogue.table[0].value["meaning"].tolist() == ["over inputs, heads and keys"]


TASK = """
from dataclasses import dataclass
from miscope.families.modulo_addition import ModuloAddition

@dataclass(frozen=True)
class Sum(ModuloAddition):
    pass
"""
TASK_VIEW = """
from miscope.plugin import lines, long, view

@view(question="Is it right?", reading="A line.", draw=lines("step", "share"), of="losses", null="overview")
def share(losses, context):
    return long("share", losses.stack("test_accuracy"), step=losses.steps)
"""


def test_a_view_that_a_family_brings_is_offered_for_its_variants_alone(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # the workspace's folder is added to it
    (copied / "lab_of_sums").mkdir()
    (copied / "lab_of_sums" / "tasks.py").write_text(TASK)
    (copied / "lab_of_sums" / "tasks_views.py").write_text(TASK_VIEW)
    configuration.add(copied, "sum", {"_target_": "lab_of_sums.tasks.Sum", "modulus": 13})
    offered = opened("explore", copied, variant="sum", view="tasks.share")
    assert not offered.warning and offered.query_params["view"] == "tasks.share"
    assert "there is no `tasks.share`" in texts(opened("explore", copied, variant="tiny", view="tasks.share"))
