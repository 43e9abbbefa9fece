"""Computes Outputs that are never stored in a second process, so that the app's process never imports torch.

`compute` has the signature of `analysis.Compute`: pass it to `Workspace.load(..., compute=worker.compute)`. Requests
and answers are pickles over stdin and stdout of the second process, which runs `python -m miscope.workspace.worker`.
"""

import atexit
import dataclasses
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np

from miscope.core import MiscopeError
from miscope.instrument import Output
from miscope.keys import stamp
from miscope.workspace.files import folder_of

Request = tuple[Path, str, str, int]  # root, variant, instrument, step
Stamps = tuple[tuple[int, int], ...]

MEMORY_BYTES = 300 * 2**20
MAX_THREADS = 4


# ---------------------------------------------------------------- the client


@dataclass
class Memory:
    """The most recently used Outputs, up to `limit_bytes` in all."""

    limit_bytes: int = MEMORY_BYTES
    _kept: OrderedDict[tuple[Request, Stamps], Output] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: tuple[Request, Stamps]) -> Output | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[Request, Stamps], output: Output) -> None:
        with self._lock:
            self._kept[key] = output
            while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > self.limit_bytes:
                self._kept.popitem(last=False)


@dataclass
class Client:
    """Keeps one worker process, sends it one request at a time, and starts a new one when it has ended."""

    memory: Memory = field(default_factory=Memory)
    _lock: Lock = field(default_factory=Lock)
    _process: subprocess.Popen[bytes] | None = None

    def compute(self, root: Path, variant: str, instrument: str, step: int) -> Output:
        """The Output of an instrument at one checkpoint, kept in memory as long as its inputs do not change.

        Raises:
            MiscopeError: the instrument cannot be computed here, or the worker ended twice without an answer.
        """
        request = (root.resolve(), variant, instrument, step)
        key = (request, _stamps(request))
        if (known := self.memory.get(key)) is not None:
            return known
        with self._lock:
            if (known := self.memory.get(key)) is None:  # another thread may have computed it meanwhile
                known = self._answer(request)
                self.memory.put(key, known)
        return known

    def close(self) -> None:
        """End the worker; the next request starts a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _answer(self, request: Request) -> Output:
        answer = self._exchange(request) or self._exchange(request)
        if answer is None:
            raise MiscopeError(
                f"The process that computes `{request[2]}` ended without an answer; its error is on the terminal."
            )
        if isinstance(answer, MiscopeError):
            raise answer
        return answer

    def _exchange(self, request: Request) -> Output | MiscopeError | None:
        """The worker's answer, or None if the worker ended without one."""
        process = self._alive()
        assert process.stdin is not None and process.stdout is not None
        try:
            _send(process.stdin, request)
            answer: Output | MiscopeError = pickle.load(process.stdout)
            return answer
        except (EOFError, OSError, pickle.UnpicklingError):
            self.close()
            return None

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        command = [sys.executable, "-m", "miscope.workspace.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process


_client = Client()
atexit.register(_client.close)


def compute(root: Path, variant: str, instrument: str, step: int) -> Output:
    """`analysis.compute_at` in the worker of this process."""
    return _client.compute(root, variant, instrument, step)


def _stamps(request: Request) -> Stamps:
    """The stamps of the files that the answer depends on; (0, 0) for a file that does not exist."""
    root, variant, _, step = request
    folder = folder_of(root, variant)
    return tuple(stamp(path) for path in (folder.checkpoint(step), folder.probe, root / "params.yaml"))


def _bytes(output: Output) -> int:
    values = (getattr(output, f.name) for f in dataclasses.fields(output))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def _send(pipe: IO[bytes], value: object) -> None:
    pickle.dump(value, pipe, protocol=5)
    pipe.flush()


# ---------------------------------------------------------------- the process


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more: each with an Output, or with a MiscopeError."""
    while True:
        try:
            request: Request = pickle.load(requests)
        except EOFError:
            return
        _send(answers, _computed(request))


def _computed(request: Request) -> Output | MiscopeError:
    from miscope.workspace import analysis

    try:
        _limit_threads()
        return analysis.compute_at(*request)
    except MiscopeError as error:
        return error
    except ImportError as error:
        return MiscopeError(
            f"`{request[2]}` is never stored, and computing it needs torch ({error}). Run `pip install torch`."
        )
    except Exception as error:
        return MiscopeError(
            f"`{request[2]}` of `{request[1]}` at step {request[3]} failed: {type(error).__name__}: {error}"
        )


def _limit_threads() -> None:
    import torch

    torch.set_num_threads(min(MAX_THREADS, os.cpu_count() or 1))


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # so that nothing printed mixes with the answers
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
