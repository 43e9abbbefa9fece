"""The plugin rule, held for every plugin found."""

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import workspace
from miscope.config import load

from miscope import catalog
from miscope.core import Context, MiscopeError
from miscope.instrument import Output, OverTraining, PerCheckpoint

INSTRUMENTS = catalog.instruments()


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_is_named_for_its_file_and_says_its_source(name: str) -> None:
    analyzer = catalog.instrument(name)
    assert analyzer.name == name == analyzer.compute.__name__
    text = sys.modules[analyzer.compute.__module__].__doc__
    assert text is not None
    assert re.search(r"^Source: .{20}", text, re.MULTILINE), f"{name} names no source"


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_has_its_maths_before_its_source(name: str) -> None:
    text = inspect.cleandoc(sys.modules[catalog.instrument(name).compute.__module__].__doc__ or "")
    found = re.fullmatch(r"(.+?)\n\nMaths: (.+?)\n\n(Source: .+)", text, re.S)
    assert found, f"the docstring of {name} has no paragraph `Maths:` before `Source:`"
    prose, maths, source = found.groups()
    assert "$" not in prose + source
    around, displayed = maths.split("$$")[::2], maths.split("$$")[1::2]
    assert len(around) == len(displayed) + 1 > 1, f"a `$$` of {name} is missing or not closed"
    assert not [formula for formula in displayed if "$" in formula]
    assert not [words for words in around if words.count("$") % 2]
    assert maths.count("{") - maths.count(r"\{") == maths.count("}") - maths.count(r"\}")


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_maths_of_an_instrument_names_what_it_gives_and_is_given(name: str) -> None:
    analyzer = catalog.instrument(name)
    upstream = analyzer.needs if isinstance(analyzer, OverTraining) else ()
    kinds = [analyzer.output_type, *(needed.output_type for needed in upstream), Context]
    known = {field.name for kind in kinds for field in fields(kind)} | set(analyzer.settings) | set(INSTRUMENTS)
    text = sys.modules[analyzer.compute.__module__].__doc__ or ""
    maths = text.partition("\n\nMaths:")[2].partition("\n\nSource:")[0].replace(r"\_", "_")
    assert set(re.findall(r"(?:`|\\text\{)(\w+_\w+)[`}]", maths)) <= known


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_returns_a_frozen_output(name: str) -> None:
    kind = catalog.instrument(name).output_type
    assert issubclass(kind, Output)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_has_an_overview(name: str) -> None:
    assert catalog.views(name)[0] == f"{name}.overview"
    assert catalog.view(name) is catalog.view(f"{name}.overview")


def test_the_stages_of_analysis_and_drawing_depend_on_all_the_code_that_they_run() -> None:
    text = (workspace.REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    stages = dict(re.findall(r"^  (\w+):\n(.*?)(?=^  \w|\Z)", text, re.M | re.S))
    analysed = {path for name in INSTRUMENTS for path in catalog.sources(name)}
    views = [path for name in INSTRUMENTS for path in (catalog.SOURCE / "views" / name).glob("*.py")]
    drawn = {*catalog.closure(*views, within=("views", "renderers", "maths")), *catalog.sources("neuron_activations")}
    for stage, files in (("analyze", analysed), ("render", drawn)):
        folders = set(re.findall(r"- src/miscope/(\w+)$", stages[stage], re.M))
        assert {path.relative_to(catalog.SOURCE).parts[0] for path in files} <= folders


@pytest.mark.parametrize("name", [name for name in INSTRUMENTS if catalog.instrument(name).settings])
def test_params_lists_every_setting_of_an_instrument_at_its_default(name: str) -> None:
    shipped = load(workspace.REPOSITORY).instruments
    assert dict(shipped[name]) == dict(catalog.instrument(name).settings)


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
    for stage, end in (("  train:", "  probe:"), ("  probe:", "  analyze:")):
        found = re.findall(r"- (src/miscope/(?:families/_|maths/)\S+)", text[text.index(stage) : text.index(end)])
        assert set(found) == expected


def test_sources_of_an_instrument_that_runs_the_model_hold_the_model(tmp_path: Path) -> None:
    names = {path.name for path in catalog.sources("neuron_spectra")}
    assert {"neuron_spectra.py", "spectra.py", "inspection.py", "transformer.py", "attention.py"} <= names
    assert "transformer.py" in {path.name for path in catalog.sources("progress_measures")}  # a tracker of logits
    for name in ("singular_values", "neuron_dynamics", "weight_norms"):
        assert "transformer.py" not in {path.name for path in catalog.sources(name)}


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
