"""Arithmetic modulo a prime, written as a text: `a + b`, `a / b`, `a**2 + a*b + b**2`."""

import ast
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

ALLOWED = "a and b joined by + - * / and powers up to 9, such as 'a**2 + a*b + b**2'"


def values(operation: str, a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"], p: int) -> Int[np.ndarray, " n"]:
    """The operation's values mod p, from 0 to p - 1; -1 where it divides by zero.

    Raises:
        ValueError: the text is not made of a, b, whole numbers, + - * / ** and brackets.
    """
    try:
        tree = ast.parse(operation, mode="eval").body
    except SyntaxError:
        raise ValueError(ALLOWED) from None
    return _value(tree, {"a": a, "b": b}, p)


def _value(node: ast.AST, letters: Mapping[str, np.ndarray], p: int) -> np.ndarray:
    match node:
        case ast.Name(id=name) if name in letters:
            return letters[name] % p
        case ast.Constant(value=int(number)):
            return np.full_like(letters["a"], number % p)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _joined("-", np.zeros_like(letters["a"]), _value(operand, letters, p), p)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))) if 0 <= power <= 9:
            factor = _value(left, letters, p)
            return np.where(factor < 0, -1, np.array([pow(int(x), power, p) for x in np.maximum(factor, 0)]))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SIGNS:
            return _joined(SIGNS[type(op)], _value(left, letters, p), _value(right, letters, p), p)
    raise ValueError(ALLOWED)


SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def _joined(sign: str, x: np.ndarray, y: np.ndarray, p: int) -> np.ndarray:
    inverse = np.array([0, *(pow(i, -1, p) for i in range(1, p))])
    joined = {"+": x + y, "-": x - y, "*": x * y, "/": x * inverse[np.maximum(y, 0)]}[sign] % p
    return np.where((x < 0) | (y < 0) | ((sign == "/") & (y == 0)), -1, joined)
