"""What happened, told from the artifacts of `tiny`."""

import html
import shutil

import pytest
import workspace
from workspace import Workspace

import miscope
from miscope.catalog import builtin
from miscope.report.page import page
from miscope.report.timeline import EVENTS, Timeline, timeline
from miscope.workspace.loaded import LoadedVariant


@pytest.fixture(scope="module")
def told(variant: LoadedVariant) -> Timeline:
    return timeline(variant)


@pytest.fixture(scope="module")
def report(variant: LoadedVariant, told: Timeline) -> str:
    return page(variant.folder, told)


def test_events_of_the_phases_are_told_in_order_each_once(variant: LoadedVariant, told: Timeline) -> None:
    phases = variant.artifact("phases")
    expected = {sentence: getattr(phases, field) for field, sentence in EVENTS.items()}
    of_phases = {event.sentence: event.by for event in told.events if event.instrument == "phases"}
    assert of_phases == {sentence: step for sentence, step in expected.items() if step is not None}
    assert EVENTS["memorised_step"] in of_phases
    assert [event.by for event in told.events] == sorted(event.by for event in told.events)
    assert (told.verdict, told.reasons) == (phases.verdict, phases.reasons)


def test_a_measure_moves_between_two_neighbouring_checkpoints(variant: LoadedVariant, told: Timeline) -> None:
    moves = [event for event in told.events if event.instrument != "phases"]
    assert "losses.train_loss reached half of its fall." in [event.sentence for event in moves]
    for event in moves:
        steps = list(variant.artifact(event.instrument).steps)  # an expensive one looks at some checkpoints only
        assert event.before is not None
        assert steps.index(event.by) == steps.index(event.before) + 1


def test_the_report_tells_it_with_links_to_the_views(report: str) -> None:
    assert report.index("What happened, in order") < report.index('<h2 id="phases">')
    assert '<a href="#losses">losses</a>' in report
    assert "Verdict: <b>" in report


def test_the_report_counts_what_chance_would_not_show_and_lists_the_rest(report: str, variant: LoadedVariant) -> None:
    nulls = [variant.view(name).null() for name in builtin().views() if workspace.is_shown(name)]
    within = [null.sentence for null in nulls if null.verdict == "Within its null"]
    n_beyond = sum(null.is_beyond for null in nulls)
    assert f"Of {len(nulls)} views {n_beyond} show more than chance would; these {len(within)} do not:" in report
    chance = report[report.index('<h2 id="chance">') : report.index("<nav>")]
    assert within and all(html.escape(sentence.partition(": ")[2]) in chance for sentence in within)


def test_without_artifacts_there_is_nothing_to_tell_and_the_report_leaves_it_out(own_copy: Workspace) -> None:
    shutil.rmtree(own_copy.path / "artifacts/tiny/instruments")
    variant = miscope.load_variant("tiny", own_copy.path)
    told = timeline(variant)
    assert (told.events, told.verdict) == ((), "")
    report = page(variant.folder, told)
    assert "What happened" not in report
    assert '"losses.overview"' in report
