"""What the catalog finds, and what it says of plugins that are wrong."""

from pathlib import Path

import pytest

from miscope import catalog
from miscope.catalog import Catalog, Plugin, builtin
from miscope.core import MiscopeError

N_VIEWS, N_ANSWERS = 118, 240


def test_no_view_and_no_known_answer_was_lost() -> None:
    assert len(builtin().views()) >= N_VIEWS
    assert (
        sum(len(list(case.answers())) for name in builtin().names for case in builtin().plugin(name).cases) >= N_ANSWERS
    )


def test_instruments_of_one_checkpoint_come_before_those_that_read_them() -> None:
    names = builtin().names
    for name in names:
        upstream = [n.name for n in builtin().instrument(name).needs if not isinstance(n, str)]
        assert all(names.index(other) < names.index(name) for other in upstream)


def test_a_misspelt_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(MiscopeError, match=r"no instrument `neuron_spectrum`\. Did you mean `neuron_spectra`\?"):
        builtin().instrument("neuron_spectrum")
    with pytest.raises(MiscopeError, match=r"no view `losses\.overveiw`\. Did you mean `losses\.overview`\?"):
        builtin().view("losses.overveiw")
    with pytest.raises(MiscopeError, match=r"no family `chess`\. Known: "):
        catalog.family("chess")


GOOD = """
from dataclasses import dataclass
import numpy as np
from jaxtyping import Float
from miscope.plugin import *

@dataclass(frozen=True)
class Mean(Output):
    mean: Float[np.ndarray, " layer"]

def mean(checkpoint, context, *, scale: float = 1.0) -> Mean:
    return Mean(scale * checkpoint.layers("attn.hook_pattern").mean(axis=(1, 2, 3)))

def nulls(artifact, context):
    yield Null.absent("there is none").of("overview")

@view(question="What is the mean of the patterns?", reading="A number.", draw=lines("step", "mean"))
def overview(artifact, context):
    return long("mean", artifact.stack("mean")[:, 0], step=artifact.steps)

instrument = PerCheckpoint(mean, needs=("attn.hook_pattern",), nulls=nulls)
"""
WRONG = {
    "a misspelt hook": ('needs=("attn.hook_pattern"', 'needs=("attn.hook_patern"', r"no activation `attn.hook_patern`; did you mean `attn.hook_pattern`\?"),
    "no dataclass": ("@dataclass(frozen=True)\nclass Mean", "class Mean", r"`Mean` lacks @dataclass\(frozen=True\)"),
    "no return type": (") -> Mean:", "):", r"`mean` must say which Output it returns"),
    "a missing argument": ("checkpoint, context, *", "checkpoint, *", r"`mean` takes 1 arguments before its settings; it is handed 2"),
    "a setting without default": ("scale: float = 1.0", "scale: float", r"the setting `scale` of `mean` has no default"),
    "no instrument": ("instrument = Per", "analyzer = Per", r"wrong.py binds no `instrument = PerCheckpoint"),
    "an unknown name": ("from jaxtyping", "from jaxtypin", r"The instrument `wrong` cannot be loaded from wrong: ModuleNotFoundError"),
    "an annotation of nothing": ("-> Mean", "-> Meen", r"NameError: name 'Meen' is not defined"),
}  # fmt: skip


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("right", "wrong"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    return tmp_path


def test_a_module_of_ones_own_is_an_instrument_with_its_views(plugin: Path) -> None:
    (plugin / "right.py").write_text(GOOD)
    found = Catalog(outside=["right"])
    assert found.views("right") == ("right.overview",)
    assert dict(found.instrument("right").settings) == {"scale": 1.0}
    assert "right" in found.names and "losses" in found.names


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_instrument_is_one_line_and_the_others_go_on(mistake: str, plugin: Path) -> None:
    old, new, message = WRONG[mistake]
    assert old in GOOD
    (plugin / "wrong.py").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(MiscopeError, match=message) as refused:
        _ = Plugin("wrong", "wrong").instrument
    assert "\n" not in str(refused.value)
    found = Catalog(outside=["wrong"])
    assert "losses" in found.names and "wrong" not in found.names
    assert list(found.faults) == ["wrong"]


def test_views_without_nulls_are_refused_and_the_measure_goes_on(plugin: Path) -> None:
    (plugin / "wrong.py").write_text(GOOD.replace(", nulls=nulls", ""))
    found = Catalog(outside=["wrong"])
    assert "wrong" in found.names
    assert "wrong.py has views, and `instrument` no `nulls=`" in found.view_faults["wrong"]
    assert "losses.overview" in found.views()


def test_two_instruments_of_one_name_are_refused(plugin: Path) -> None:
    (plugin / "losses.py").write_text(GOOD)
    with pytest.raises(MiscopeError, match=r"miscope\.instruments\.losses and losses share the name `losses`"):
        Catalog(outside=["losses"])
