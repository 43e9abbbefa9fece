"""Othello from the moves alone: a network that is told no board comes to play legal moves, and may hold a board.

Games are those of random play: the best prediction is even over the legal moves. A random split of games would test
recall, as their prefixes coincide. Here boards are held out: of those after six moves, counted once for their four
symmetric images, a seeded part is kept for testing with all games through them, and the test asks from there on. No
such prefix or board was trained on; later boards may have been, by another order of moves (55 % after eight at 4 x 4).

Mine and theirs are relative to the player to move. At one move number that is black and white, up to games with a pass.

An untrained network's probe already tells most squares: read `linear_probes` against its step 0 and the shuffled games.
At 4 x 4, after eight moves and as a mean over the squares, we found 0.80 untrained, 0.85 trained and 0.77 on shuffled
games, the majority class at 0.47. After boards held out the top move is legal 92 to 94 times of 100.

Source: Li et al. 2022, arXiv:2210.13382, sections 2 and 3; Nanda et al. 2023, arXiv:2309.00941, section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int8, UInt64

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis

Bits = UInt64[np.ndarray, "..."]
COMPASS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
HELD_AFTER = 6  # moves after which boards are held out
MEASURED = 2000  # games of the training pool, and of those held out, on which loss and accuracy are measured


@dataclass(frozen=True)
class Othello(Family):
    """Tokens are the squares played, the four in the centre left out; the next move is asked for after each.

    The 4 x 4 board has all of its 60,060 games; larger boards `n_games` games. A pass is no token. `is_shuffled` trains
    on the same games with the moves of each in random order; tests and probe stay as they are.
    """

    board: int = 4
    n_games: int = 20_000
    test_fraction: float = 0.2
    is_shuffled: bool = False

    solved_accuracy: ClassVar[float] = 0.9  # legal after boards held out; 0.15 untrained, 0.7 on shuffled games
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "on games in shuffled order no probe rises above the untrained network's, and moves are illegal.": {
            "is_shuffled": True
        }
    }

    def __post_init__(self) -> None:
        if self.board not in (4, 6, 8):
            raise MiscopeError(f"`board` = {self.board}; allowed: 4, 6, 8.")
        if not 5000 <= self.n_games <= 1_000_000:
            raise MiscopeError(f"`n_games` = {self.n_games}; allowed: 5000 to 1000000.")
        if not 0.05 <= self.test_fraction <= 0.5:
            raise MiscopeError(f"`test_fraction` = {self.test_fraction}; allowed: 0.05 to 0.5.")

    def model(self) -> ModelConfig:
        return ModelConfig(
            n_layers=3, d_model=64, n_heads=8, d_head=8, d_mlp=256, n_ctx=self._n_moves - 1, d_vocab=self._n_moves + 1,
            d_vocab_out=self._n_moves, normalization="LN", has_biases=True, initialisation="gpt2",
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(
            steps=2000, learning_rate=4e-3, weight_decay=0.1, schedule="cosine", warmup_steps=50, batch_size=128,
            eval_every=100,
        )  # fmt: skip

    def positions(self) -> tuple[int, ...]:
        return tuple(range(self._n_moves - 1))

    def split(self, data_seed: int) -> Split:
        train, test = self._measured(data_seed)
        seen = shuffled(train, np.random.default_rng([data_seed, 2])) if self.is_shuffled else train
        learned = self._examples(seen, has_rules=not self.is_shuffled)
        asked = self._examples(test, has_rules=True)
        asked.targets[:, : HELD_AFTER - 1] = -1
        return Split(learned, asked)

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples:
        games, is_test = _games(self, data_seed)
        rng = np.random.default_rng([data_seed, 3, step])
        moves = drawn(games, ~is_test, batch_size, rng, has_twins=True)
        return self._examples(shuffled(moves, rng) if self.is_shuffled else moves)

    def context(self, data_seed: int) -> Context:
        """No two probe inputs are alike: the moves of a game up to half as many as there are squares."""
        n, (train, test) = self.board**2 // 2, self._measured(data_seed)
        moves = np.concatenate([train, test])
        first = np.unique(moves[:, :n], axis=0, return_index=True)[1]
        chosen = np.sort(first[moves[first, n] >= 0])
        examples = self._examples(moves[chosen], has_rules=True)
        assert examples.allowed is not None
        allowed = examples.allowed[:, n - 1]
        is_train = (chosen < len(train)) & (not self.is_shuffled)
        return Context(
            probe=Probe(examples.tokens[:, :n], examples.targets[:, n - 1], is_train, allowed),
            answer_position=n - 1,
            basis=Basis("fourier", self._n_moves, is_native=False),
            position_names=tuple(f"move {i + 1}" for i in range(n)),
            latents=board_after(moves[chosen, :n], self.board),
            solved_accuracy=self.solved_accuracy,
            # a guess spread evenly over the legal moves, and a twentieth of a nat more
            solved_loss=float(np.log(allowed.sum(axis=1)).mean()) + 0.05,
        )

    def label(self, seed: int, data_seed: int) -> str:
        return f"othello_b{self.board}_s{seed}_d{data_seed}" + "_shuffled" * self.is_shuffled

    @property
    def _n_moves(self) -> int:
        return self.board**2 - 4

    def _examples(self, moves: np.ndarray, *, has_rules: bool = False) -> Examples:
        """Moves as tokens, those after the end as the last token; with the legal moves if asked for."""
        side, centre = self.board, squares(sum(start(self.board), np.zeros(1, np.uint64)), self.board)[0]
        token = np.append(np.where(centre, -1, np.cumsum(~centre) - 1), -1)[moves]
        allowed = None
        if has_rules:
            before_each = positions(moves[:, :-1], side)[1:]
            allowed = np.stack([squares(legal(at, side), side)[:, ~centre] for at in before_each], axis=1)
        tokens = np.where(token < 0, self._n_moves, token)[:, :-1]
        return Examples(tokens.astype(np.int64), token[:, 1:].astype(np.int64), allowed)

    def _measured(self, data_seed: int) -> tuple[np.ndarray, np.ndarray]:
        """A fixed sample of the games to train on, and of those held out."""
        games, is_test = _games(self, data_seed)
        rng = np.random.default_rng([data_seed, 1])
        train, test = (drawn(games, part, MEASURED, rng, has_twins=False) for part in (~is_test, is_test))
        return train, test


@lru_cache(maxsize=4)
def _games(task: Othello, data_seed: int) -> tuple["Games", np.ndarray]:
    """The games, and which of them run through a board that is held out."""
    side = task.board
    games = all_games(side) if side == 4 else random_games(side, task.n_games, data_seed)
    after = positions(games.moves[:, :HELD_AFTER], side)[-1]
    boards, index = np.unique(without_symmetry(after, side), axis=0, return_inverse=True)
    is_held = np.random.default_rng(data_seed).permutation(len(boards)) < round(task.test_fraction * len(boards))
    return games, is_held[index.ravel()]


# ---------------------------------------------------------------- the rules


class Position(NamedTuple):
    """Two bitboards of many games at once, of the player to move and of the opponent; bit row * side + column.

    A player without a legal move passes at once, and a pass is no move: a game is the list of squares played, and ends
    when neither can move. So counted the 4 x 4 board has 60,060 games and 47,633 positions with a move to make, the
    colour of the player to move being part of a position; without the colour there are 45,387.
    """

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
    reached = np.zeros_like(position.own)
    for way in COMPASS:
        reached |= _shifted(_run(position.own, position.other, way, side), way, side) & empty
    return reached


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
    games, shares = np.concatenate(padded), np.concatenate([p for _, p in ended])
    order = np.lexsort(games.T[::-1])
    return Games(games[order], shares[order])


@lru_cache(maxsize=2)
def random_games(side: int, n_games: int, seed: int) -> Games:
    """Games of random play: every legal move is as likely as any other; repeated games are dropped; sorted by moves."""
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
    passed = [start(side, len(moves))]
    for square in moves.T:
        passed.append(_where(square >= 0, played(passed[-1], np.maximum(square, 0), side), passed[-1]))
    return passed


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


family = Othello
