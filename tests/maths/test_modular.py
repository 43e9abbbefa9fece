"""Arithmetic modulo a prime, against Python's own."""

import numpy as np
import pytest

from miscope.maths.modular import values

P = 7
A, B = np.divmod(np.arange(P * P), P)


OPERATIONS = ("a + b", "a - b", "a*b", "a**2 + a*b + b**2", "-a + 3", "(a + b)**3", "a*b**2 - 12*b")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_pythons_modulo_p(operation: str) -> None:
    expected = [eval(operation, {"a": int(a), "b": int(b)}) % P for a, b in zip(A, B, strict=True)]
    assert values(operation, A, B, P).tolist() == expected


def test_a_quotient_times_the_divisor_is_the_dividend_and_nothing_is_divided_by_zero() -> None:
    measured = values("a / b", A, B, P)
    assert (measured[B == 0] == -1).all()
    assert ((measured * B - A)[B > 0] % P == 0).all()
    assert (values("1 + a / b", A, B, P)[B == 0] == -1).all()


@pytest.mark.parametrize(
    "operation", ["", "a +", "a + c", "a // b", "a**b", "a**-1", "a**10", "1.5*a", "__import__('os')"]
)
def test_what_is_no_such_arithmetic_is_refused(operation: str) -> None:
    with pytest.raises(ValueError, match="a and b joined by"):
        values(operation, A, B, P)
