"""The process that computes what is never stored."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from miscope.catalog import builtin
from miscope.core import MiscopeError
from miscope.instrument import Output
from miscope.workspace import analysis
from miscope.workspace.worker import Client, Memory

UNSTORED = next(name for name in builtin().names if name not in builtin().stored)


@pytest.fixture
def client() -> Iterator[Client]:
    started = Client()
    yield started
    started.close()


def arrays(output: Output) -> list[np.ndarray]:
    return [value for value in vars(output).values() if isinstance(value, np.ndarray)]


def test_the_worker_answers_what_is_computed_here_and_is_started_again_when_it_was_killed(
    tiny: Path, client: Client
) -> None:
    there, here = client.compute(tiny, "tiny", UNSTORED, 100), analysis.compute_at(tiny, "tiny", UNSTORED, 100)
    for one, other in zip(arrays(there), arrays(here), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert client._process is not None
    client._process.kill()
    assert arrays(client.compute(tiny, "tiny", UNSTORED, 20))


def test_a_mistake_travels_back_as_a_sentence(tiny: Path, client: Client) -> None:
    with pytest.raises(MiscopeError, match=r"no 000101.safetensors. Run `dvc repro report@tiny`"):
        client.compute(tiny, "tiny", UNSTORED, 101)


def test_memory_keeps_the_latest_that_fit(tiny: Path, client: Client) -> None:
    first = client.compute(tiny, "tiny", UNSTORED, 0)
    size = sum(array.nbytes for array in arrays(first))
    memory = Memory(limit_bytes=2 * size)
    keys = [((tiny, "tiny", UNSTORED, step), ()) for step in (0, 1, 2)]
    for key in keys:
        memory.put(key, first)
    assert [memory.get(key) is not None for key in keys] == [False, True, True]
