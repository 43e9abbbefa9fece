"""The plugin rule, held for every plugin found."""

import re
import sys
from pathlib import Path

import pytest
import workspace

from miscope import catalog, stagefiles
from miscope.config import load
from miscope.core import MiscopeError, Output, PerCheckpoint

INSTRUMENTS = catalog.instruments()


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_is_named_for_its_file_and_says_its_source(name: str) -> None:
    analyzer = catalog.instrument(name)
    assert analyzer.name == name == analyzer.compute.__name__
    text = sys.modules[analyzer.compute.__module__].__doc__
    assert text is not None
    assert re.search(r"^Source: .{20}", text, re.MULTILINE), f"{name} names no source"


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_returns_a_frozen_output(name: str) -> None:
    kind = catalog.instrument(name).output_type
    assert issubclass(kind, Output)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_has_an_overview(name: str) -> None:
    assert catalog.views(name)[0] == f"{name}.overview"
    assert catalog.view(name) is catalog.view(f"{name}.overview")


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_stages_of_an_instrument_are_those_that_its_code_asks_for(name: str) -> None:
    committed = (workspace.REPOSITORY / "stages" / name / "dvc.yaml").read_text(encoding="utf-8")
    assert committed == stagefiles.stage_file(name), f"run `python -m miscope stages` to bring stages/{name} up to date"


@pytest.mark.parametrize("name", [name for name in INSTRUMENTS if catalog.instrument(name).settings])
def test_params_lists_every_setting_of_an_instrument_at_its_default(name: str) -> None:
    shipped = load(workspace.REPOSITORY).instruments
    assert dict(shipped[name]) == dict(catalog.instrument(name).settings)


def test_no_stage_folder_is_left_of_an_instrument_that_is_gone() -> None:
    folders = {path.parent.name for path in (workspace.REPOSITORY / "stages").glob("*/dvc.yaml")}
    assert folders == set(INSTRUMENTS)


def test_the_training_stage_depends_on_exactly_the_code_that_trains() -> None:
    files = catalog.closure(catalog.SOURCE / "training" / "loop.py", within=("training", "model"))
    expected = {f"src/miscope/{path.relative_to(catalog.SOURCE).as_posix()}" for path in files}
    text = (workspace.REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    train = text[text.index("  train:") : text.index("  probe:")]
    assert set(re.findall(r"- (src/miscope/(?:training|model)/\S+)", train)) == expected


def test_training_and_probe_depend_on_what_families_share() -> None:
    files = [catalog.SOURCE / "families" / f"{name}.py" for name in catalog.families()]
    of_basis = catalog.SOURCE / "maths" / "spectra.py"  # a family names its basis and computes nothing with it
    shared = set(catalog.closure(*files, within=("families", "maths"))) - {*files, of_basis}
    expected = {f"src/miscope/{path.relative_to(catalog.SOURCE).as_posix()}" for path in shared}
    text = (workspace.REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    for stage, end in (("  train:", "  probe:"), ("  probe:", "  report:")):
        found = re.findall(r"- (src/miscope/(?:families/_|maths/)\S+)", text[text.index(stage) : text.index(end)])
        assert set(found) == expected


def test_sources_of_an_instrument_that_runs_the_model_hold_the_model(tmp_path: Path) -> None:
    names = {path.name for path in catalog.sources("neuron_spectra")}
    assert {"neuron_spectra.py", "spectra.py", "inspection.py", "transformer.py", "attention.py"} <= names
    assert "transformer.py" not in {path.name for path in catalog.sources("singular_values")}


def test_a_misspelt_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(MiscopeError, match=r"no instrument `neuron_spectrum`\. Did you mean `neuron_spectra`\?"):
        catalog.instrument("neuron_spectrum")
    with pytest.raises(MiscopeError, match=r"no view `losses\.overveiw`\. Did you mean `losses\.overview`\?"):
        catalog.view("losses.overveiw")
    with pytest.raises(MiscopeError, match=r"no family `chess`\. Known: "):
        catalog.family("chess")


def test_instruments_that_read_weights_alone_need_no_activation() -> None:
    for name in ("dominant_frequencies", "singular_values"):
        analyzer = catalog.instrument(name)
        assert isinstance(analyzer, PerCheckpoint)
        assert analyzer.needs == ()
