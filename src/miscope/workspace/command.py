"""Runs a stage from the command line: a user's mistake is one line on stderr and no stack trace."""

import inspect
import signal
import sys
from collections.abc import Callable

from miscope.core import MiscopeError


def run(main: Callable[..., None]) -> None:
    """Call `main` with the arguments of the command line; the docstring of its module is the help.

    A MiscopeError becomes one line on stderr and exit status 1; Ctrl-C and SIGTERM become exit status 130.
    """
    given, asks_help = sys.argv[1:], sys.argv[1:] in (["-h"], ["--help"])
    if asks_help or not _takes(main, given):
        print(sys.modules[main.__module__].__doc__, file=sys.stdout if asks_help else sys.stderr)
        raise SystemExit(0 if asks_help else 2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        main(*given)
    except MiscopeError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _takes(main: Callable[..., None], given: list[str]) -> bool:
    try:
        inspect.signature(main).bind(*given)
    except TypeError:
        return False
    return True
