"""What the catalog finds, what plugins may import, and what is said of those that are wrong."""

import ast
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from small import OWN

from miscope import plugin
from miscope.catalog import Catalog, Plugin, builtin
from miscope.core import MiscopeError
from miscope.keys import SOURCE

# an instrument, the number of its known answers, and its views
LISTED = [line.split() for line in (Path(__file__).parent / "catalog.txt").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: listed[0])
def test_no_view_and_no_known_answer_of_an_instrument_is_lost(listed: list[str]) -> None:
    name, n_answers, *views = listed
    assert {f"{name}.{view}" for view in views} <= set(builtin().views(name))
    assert sum(len(list(case.answers())) for case in builtin().plugin(name).cases) >= int(n_answers)


def test_119_views_and_243_known_answers_are_listed() -> None:
    assert sum(len(views) for _, _, *views in LISTED) == 119
    assert sum(int(n_answers) for _, n_answers, *_ in LISTED) == 243


def test_instruments_of_one_checkpoint_come_before_those_that_read_them() -> None:
    names = builtin().names
    for name in names:
        upstream = [n.name for n in builtin().instrument(name).needs if not isinstance(n, str)]
        assert all(names.index(other) < names.index(name) for other in upstream)


# ---------------------------------------------------------------- what plugins import

FILES = sorted([*SOURCE.glob("instruments/[a-z]*/*.py"), *SOURCE.glob("scaling/[dlm]*s/*.py")])
OF_INSTRUMENTS = ("miscope.maths.*", "miscope.instruments._shared.*", "miscope.instruments.*.measure*")
BESIDE = ("miscope.core.weight_order", "miscope.instrument.in_words", "miscope.instrument.GRADIENTS",
          "miscope.model.sites.*", "miscope.quantization.grid.*")  # fmt: skip
OFFERED = {  # file or folder -> what it may import beside the names of `miscope.plugin` and what is in its own folder
    "measure.py": (*OF_INSTRUMENTS, *BESIDE),
    "views.py": OF_INSTRUMENTS,
    "known.py": (*OF_INSTRUMENTS, "miscope.calibration.models.*", "miscope.workspace.observation.*"),
    "models": ("miscope.scaling.protocols.*", "miscope.model.*"),
    "datasets": ("miscope.scaling.protocols.*", "miscope.scaling.losses.*", "miscope.catalog"),
    "losses": ("miscope.scaling.protocols.*",),
}


def imports(file: Path) -> set[str]:
    """Every name that a file imports of this package, with its module."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
    parts = {f"{n.module}.{alias.name}" for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names}
    return {name for name in whole | parts if name.partition(".")[0] == "miscope"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-2:]))
def test_a_plugin_imports_what_is_offered_to_authors_and_nothing_else(file: Path) -> None:
    own = ".".join(file.relative_to(SOURCE.parent).parent.parts)
    offered = (f"{own}.*", *OFFERED.get(file.name, OFFERED.get(file.parent.name, OF_INSTRUMENTS)))
    beside = {name for name in imports(file) if name.rpartition(".")[2] not in plugin.__all__}
    assert {name for name in beside if not any(fnmatch(name, pattern) for pattern in offered)} == set()


# ---------------------------------------------------------------- plugins that are wrong

WRONG = {
    "a misspelt hook": ('=("attn.hook_patt', '=("attn.hook_pat', r"hook_patern`; did you mean `attn\.hook_pattern`\?"),
    "no dataclass": ("@dataclass(frozen=True)\n", "", r"`Mean` lacks @dataclass\(frozen=True\)"),
    "no return type": (") -> Mean:", "):", "`mean` must say which Output it returns"),
    "a missing argument": ("context, *, scale", "*, scale", "`mean` takes 1 arguments before its settings; it is"),
    "a setting without default": (": float = 1.0", ": float", "the setting `scale` of `mean` has no default"),
    "no instrument": ("instrument = Per", "analyzer = Per", r"wrong\.py binds no `instrument = PerCheckpoint"),
    "an unknown name": ("from jaxtyping", "from jaxtypin", "`wrong` cannot be loaded from wrong: ModuleNotFoundError"),
    "an annotation of nothing": ("-> Mean", "-> Meen", "NameError: name 'Meen' is not defined"),
}  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own, on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("right", "wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_module_of_ones_own_is_an_instrument_with_its_views(outside: Path) -> None:
    (outside / "right.py").write_text(OWN)
    catalog = Catalog(outside=["right"])
    assert catalog.views("right") == ("right.overview",)
    assert dict(catalog.instrument("right").settings) == {"scale": 1.0}
    assert "right" in catalog.names and "losses" in catalog.names


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_instrument_is_one_line_and_the_others_go_on(mistake: str, outside: Path) -> None:
    old, new, message = WRONG[mistake]
    assert old in OWN
    (outside / "wrong.py").write_text(OWN.replace(old, new, 1))
    with pytest.raises(MiscopeError, match=message) as refused:
        _ = Plugin("wrong", "wrong").instrument
    assert "\n" not in str(refused.value)
    catalog = Catalog(outside=["wrong"])
    assert "losses" in catalog.names and "wrong" not in catalog.names
    assert list(catalog.faults) == ["wrong"]


def test_views_without_nulls_are_refused_and_the_measure_goes_on(outside: Path) -> None:
    (outside / "wrong.py").write_text(OWN.replace(", nulls=nulls", ""))
    catalog = Catalog(outside=["wrong"])
    assert "wrong" in catalog.names
    assert "wrong.py has views, but `instrument` has no `nulls=`" in catalog.view_faults["wrong"]
    assert "losses.overview" in catalog.views()


def test_two_instruments_of_one_name_are_refused(outside: Path) -> None:
    (outside / "losses.py").write_text(OWN)
    with pytest.raises(MiscopeError, match=r"miscope\.instruments\.losses and losses share the name `losses`"):
        Catalog(outside=["losses"])
