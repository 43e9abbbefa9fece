"""What happened, told from the artifacts of `tiny`."""

import html
import json
import shutil
from pathlib import Path

import workspace
from miscope.analysis import artifact
from miscope.story import EVENTS, story
from workspace import Workspace

from miscope import api, catalog
from miscope.workspace import files


def test_events_of_the_phases_are_told_in_order_each_once(tiny: Path) -> None:
    phases = artifact(tiny, "tiny", "phases")
    told = story(tiny, "tiny")
    expected = {sentence: getattr(phases, field) for field, sentence in EVENTS.items()}
    found = {what.sentence: what.by for what in told.happenings if what.instrument == "phases"}
    assert found == {sentence: step for sentence, step in expected.items() if step is not None}
    assert "It has learned the inputs that it trains on." in found
    assert [what.by for what in told.happenings] == sorted(what.by for what in told.happenings)
    assert (told.verdict, told.reasons) == (phases.verdict, phases.reasons)


def test_a_measure_moves_between_two_neighbouring_checkpoints(tiny: Path) -> None:
    moves = [what for what in story(tiny, "tiny").happenings if what.instrument != "phases"]
    assert "Train loss (losses) has come half of its way." in {what.sentence for what in moves}
    for what in moves:
        steps = list(artifact(tiny, "tiny", what.instrument).steps)  # an expensive one looks at some checkpoints only
        assert what.before is not None
        assert steps.index(what.by) == steps.index(what.before) + 1


def test_the_report_tells_it_with_links_to_the_views(tiny: Path) -> None:
    page = report.page(files.folder_of(tiny, "tiny"), story(tiny, "tiny"))
    assert page.index("What happened, in order") < page.index('<h2 id="phases">')
    assert '<a href="#losses">losses</a>' in page
    assert "Verdict: <b>" in page


def test_the_report_counts_what_chance_would_not_show_and_lists_the_rest(tiny: Path) -> None:
    page = report.page(files.folder_of(tiny, "tiny"), story(tiny, "tiny"))
    variant = api.load_variant("tiny", tiny)
    said = [variant.view(name).null() for name in catalog.views() if workspace.is_shown(name)]
    within = [sentence for sentence in said if sentence.startswith("Within its null")]
    n_beyond = sum(sentence.startswith("Beyond its null") for sentence in said)
    assert f"Of {len(said)} views {n_beyond} show more than chance would; these {len(within)} do not:" in page
    chance = page[page.index('<h2 id="chance">') : page.index("<nav>")]
    assert within and all(html.escape(sentence.partition(": ")[2]) in chance for sentence in within)


def test_without_artifacts_there_is_nothing_to_tell_and_the_report_leaves_it_out(own_copy: Workspace) -> None:
    shutil.rmtree(own_copy.path / "artifacts/tiny/instruments")
    told = story(own_copy.path, "tiny")
    assert (told.happenings, told.verdict) == ((), "")
    page = report.page(files.folder_of(own_copy.path, "tiny"), told)
    assert "What happened" not in page
    assert json.dumps("losses.overview") in page
