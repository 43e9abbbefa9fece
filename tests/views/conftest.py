import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from miscope.core import Context

sys.path.insert(0, str(Path(__file__).parent))

import synthetic


@pytest.fixture(scope="session")
def sources() -> Mapping[str, Any]:
    return synthetic.sources()


@pytest.fixture(scope="session")
def context() -> Context:
    return synthetic.context()
