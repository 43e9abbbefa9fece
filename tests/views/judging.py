"""What a view says of a source that a test has made."""

from collections.abc import Mapping
from typing import Any

from synthetic import context, table_of

from miscope import catalog
from miscope.core import Context
from miscope.instrument import Artifact


def said(view: str, source: Any, of: Context | None = None, **options: Any) -> str:
    """The verdict, at the last step where the view is of one."""
    step = source.steps[-1] if isinstance(source, Artifact) else 0
    sources = {view.partition(".")[0]: source}
    return str(table_of(catalog.view(view), sources, of or context(), step, **options).attrs["null"])


def over(outputs: Mapping[int, Any]) -> Artifact[Any]:
    return Artifact(tuple(outputs), outputs.__getitem__)
