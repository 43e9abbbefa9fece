"""The rules of Othello on boards of side 4, 6 and 8, for many games at once.

A position is two bitboards relative to the player to move, `own` and `other`; bit row * side + column. A player
without a legal move passes at once, and a pass is no move: a game is the list of squares played, and ends when neither
can move. So counted the 4 x 4 board has 60,060 games and 47,633 positions with a move to make, the colour of the player
to move being part of a position; without the colour there are 45,387.

Source: the rules are those of Li et al. 2022, arXiv:2210.13382, section 2; the counts are checked by enumeration.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int8, UInt64

Bits = UInt64[np.ndarray, "..."]
COMPASS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)


class Position(NamedTuple):
    """Of many games at once: the discs of the player to move, and those of the opponent."""

    own: Bits
    other: Bits


def start(side: int, n_games: int = 1) -> Position:
    """The four discs in the centre; black, who moves first, has the upper right and the lower left one."""
    low, high = side // 2 - 1, side // 2
    own, other = _bits([low * side + high, high * side + low]), _bits([low * side + low, high * side + high])
    return Position(np.full(n_games, own), np.full(n_games, other))


def legal(position: Position, side: int) -> Bits:
    """The squares on which the player to move may set a disc."""
    empty = ~(position.own | position.other)
    found = np.zeros_like(position.own)
    for way in COMPASS:
        found |= _shifted(_run(position.own, position.other, way, side), way, side) & empty
    return found


def played(position: Position, square: Int[np.ndarray, " game"], side: int) -> Position:
    """The position after a legal move, a pass included where the opponent has no move but the mover has."""
    move = np.uint64(1) << square.astype(np.uint64)
    flipped = np.zeros_like(move)
    for way in COMPASS:
        run = _run(move, position.other, way, side)
        is_closed = (_shifted(run, way, side) & position.own) != 0
        flipped |= np.where(is_closed, run, np.uint64(0))
    after = Position(position.other & ~flipped, position.own | move | flipped)
    swapped = Position(after.other, after.own)
    passes = (legal(after, side) == 0) & (legal(swapped, side) != 0)
    return Position(np.where(passes, after.other, after.own), np.where(passes, after.own, after.other))


def squares(bits: Bits, side: int) -> Bool[np.ndarray, "... square"]:
    """A bitboard as one truth value per square."""
    return (bits[..., None] >> np.arange(side * side, dtype=np.uint64)) & np.uint64(1) != 0


class Games(NamedTuple):
    """Games as squares played, -1 after the end, and how likely random play is to make each of them."""

    moves: Int8[np.ndarray, "game move"]
    likelihood: np.ndarray  # [game], float64


@lru_cache(maxsize=2)
def all_games(side: int) -> Games:
    """Every game there is, in the order of their moves; for side 4 half a second."""
    position, moves, likelihood = start(side), np.zeros((1, 0), np.int8), np.ones(1)
    ended: list[tuple[np.ndarray, np.ndarray]] = []
    while len(moves):
        choices = squares(legal(position, side), side)
        n_choices = choices.sum(axis=1)
        ended.append((moves[n_choices == 0], likelihood[n_choices == 0]))
        game, square = choices.nonzero()
        position = played(Position(position.own[game], position.other[game]), square, side)
        moves = np.column_stack([moves[game], square.astype(np.int8)])
        likelihood = (likelihood / np.maximum(n_choices, 1))[game]
    padded = [np.pad(m, ((0, 0), (0, side * side - 4 - m.shape[1])), constant_values=-1) for m, _ in ended if len(m)]
    found, shares = np.concatenate(padded), np.concatenate([p for _, p in ended])
    order = np.lexsort(found.T[::-1])
    return Games(found[order], shares[order])


@lru_cache(maxsize=2)
def random_games(side: int, n_games: int, seed: int) -> Games:
    """Games of random play: every legal move is as likely as any other; twins are dropped, in order of moves."""
    rng, position = np.random.default_rng(seed), start(side, n_games)
    moves = np.full((n_games, side * side - 4), -1, np.int8)
    for i in range(moves.shape[1]):
        bits = legal(position, side)
        choices, goes_on = squares(bits, side), bits != 0
        square = np.where(choices, rng.random(choices.shape), -1.0).argmax(axis=1)
        moves[goes_on, i] = square[goes_on]
        position = _where(goes_on, played(position, square, side), position)
    distinct = np.unique(moves, axis=0)
    return Games(distinct, np.full(len(distinct), 1 / len(distinct)))


def drawn(
    games: Games, part: Bool[np.ndarray, " game"], n: int, rng: np.random.Generator, *, has_twins: bool
) -> Int8[np.ndarray, "drawn move"]:
    """Moves of up to `n` games of a part, as likely as random play makes them."""
    chosen = part.nonzero()[0]
    share = games.likelihood[chosen] / games.likelihood[chosen].sum()
    n = n if has_twins else min(n, len(chosen))
    return games.moves[rng.choice(chosen, n, replace=has_twins, p=share)]


def shuffled(moves: Int8[np.ndarray, "game move"], rng: np.random.Generator) -> Int8[np.ndarray, "game move"]:
    """The moves of each game in random order."""
    key = np.where(moves >= 0, rng.random(moves.shape), 2.0)
    return np.take_along_axis(moves, key.argsort(axis=1), axis=1)


def positions(moves: Int8[np.ndarray, "game move"], side: int) -> list[Position]:
    """The position before each move and after the last; once a game has ended its position stays."""
    found = [start(side, len(moves))]
    for square in moves.T:
        after = played(found[-1], np.maximum(square, 0), side)
        found.append(_where(square >= 0, after, found[-1]))
    return found


def board_after(moves: Int8[np.ndarray, "game move"], side: int) -> dict[str, Int[np.ndarray, " game"]]:
    """Square by square, `square c2`: 0 empty, 1 mine, 2 theirs, as the player to move sees it."""
    own, other = (squares(bits, side) for bits in positions(moves, side)[-1])
    names = (f"square {'abcdefgh'[i % side]}{i // side + 1}" for i in range(side * side))
    return dict(zip(names, (own + 2 * other.astype(np.int64)).T, strict=True))


def without_symmetry(position: Position, side: int) -> UInt64[np.ndarray, "game 2"]:
    """`own` and `other` of the least of a position's images under the four symmetries that keep the start."""
    grid = np.arange(side * side).reshape(side, side)
    images = [grid, grid.T, grid[::-1, ::-1], grid[::-1, ::-1].T]
    both = [[_bits_of(squares(part, side)[:, image.ravel()]) for part in position] for image in images]
    own, other = (np.stack([image[i] for image in both]) for i in (0, 1))
    is_least = own == own.min(axis=0)
    return np.stack([own.min(axis=0), np.where(is_least, other, ~np.uint64(0)).min(axis=0)], axis=1)


def perft(side: int, n_moves: int) -> int:
    """The number of ways to play the first `n_moves` moves."""
    position = start(side)
    for _ in range(n_moves):
        game, square = squares(legal(position, side), side).nonzero()
        position = played(Position(position.own[game], position.other[game]), square, side)
    return len(position.own)


def _run(start: Bits, through: Bits, way: tuple[int, int], side: int) -> Bits:
    """The discs of `through` that follow `start` in one direction without a gap."""
    run = _shifted(start, way, side) & through
    for _ in range(side - 3):
        run = run | (_shifted(run, way, side) & through)
    return run


def _shifted(bits: Bits, way: tuple[int, int], side: int) -> Bits:
    """Every disc one square further in a direction; those that leave the board are dropped."""
    by = way[0] * side + way[1]
    moved = bits << np.uint64(by) if by > 0 else bits >> np.uint64(-by)
    return moved & _arrivals(way[1], side)


@lru_cache
def _arrivals(right: int, side: int) -> np.uint64:
    """The squares at which a step to the right, or left, can arrive."""
    closed = {1: 0, -1: side - 1}.get(right)
    return _bits([i for i in range(side * side) if i % side != closed])


def _bits(numbers: list[int]) -> np.uint64:
    return np.uint64(sum(1 << i for i in numbers))


def _bits_of(is_set: Bool[np.ndarray, "game square"]) -> Bits:
    return (is_set.astype(np.uint64) << np.arange(is_set.shape[1], dtype=np.uint64)).sum(axis=1, dtype=np.uint64)


def _where(chosen: Bool[np.ndarray, " game"], one: Position, two: Position) -> Position:
    return Position(np.where(chosen, one.own, two.own), np.where(chosen, one.other, two.other))
