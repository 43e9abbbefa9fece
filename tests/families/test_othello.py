"""The rules by published counts and by a second program, and that what is held out was never trained on."""

import numpy as np
import pytest

from miscope.families import othello as rules
from miscope.families.othello import HELD_AFTER, Othello

SMALL = Othello()
COLUMNS = "abcdefgh"


def perft(side: int, n_moves: int) -> int:
    """The number of ways to play the first `n_moves` moves."""
    position = rules.start(side)
    for _ in range(n_moves):
        game, square = rules.squares(rules.legal(position, side), side).nonzero()
        position = rules.played(rules.Position(position.own[game], position.other[game]), square, side)
    return len(position.own)


@pytest.mark.parametrize(
    ("side", "counts"), [(8, [4, 12, 56, 244, 1396, 8200]), (6, [4, 12, 56, 244, 1364, 7604, 47740])]
)
def test_ways_to_play_the_first_moves_are_as_many_as_published(side: int, counts: list[int]) -> None:
    assert [perft(side, n + 1) for n in range(len(counts))] == counts


def test_the_small_board_has_60060_games_of_known_lengths() -> None:
    games = rules.all_games(4)
    lengths = (games.moves >= 0).sum(axis=1)
    assert np.bincount(lengths, minlength=13)[6:].tolist() == [4, 8, 20, 308, 808, 5332, 53580]
    assert len(np.unique(games.moves, axis=0)) == 60_060
    np.testing.assert_allclose(games.likelihood.sum(), 1)


def test_the_small_board_has_47633_positions_with_a_move_to_make_when_the_player_counts() -> None:
    games, is_black, boards = rules.all_games(4), np.ones(60_060, dtype=bool), []
    after = rules.positions(games.moves, 4)
    for i, square in enumerate(games.moves.T):
        boards.append(np.stack([after[i].own, after[i].other, is_black], axis=1)[square >= 0])
        passes = rules.squares(after[i + 1].own, 4)[np.arange(len(square)), square]  # the mover is to move again
        is_black = is_black == passes
    assert len(np.unique(np.concatenate(boards), axis=0)) == 47_633


@pytest.mark.parametrize("side", [4, 6, 8])
def test_random_games_are_legal_to_the_end_by_a_second_program(side: int) -> None:
    for moves in rules.random_games(side, 20, seed=1).moves:
        board, player, legal = _board(side), 1, set[tuple[int, int]]()
        for square in moves[moves >= 0]:
            legal = _legal(board, player)
            assert divmod(int(square), side) in legal
            _play(board, player, divmod(int(square), side))
            player = -player if _legal(board, -player) else player
        assert not _legal(board, player)


@pytest.mark.parametrize("side", [4, 6])
def test_probe_boards_and_legal_moves_are_those_of_a_second_program(side: int) -> None:
    context = Othello(board=side, n_games=5000).context(0)
    squares = [(r, c) for r in range(side) for c in range(side) if not {r, c} <= {side // 2 - 1, side // 2}]
    for i in range(0, len(context.probe.tokens), 200):
        board, player = _board(side), 1
        for token in context.probe.tokens[i, : context.answer_position + 1]:
            _play(board, player, squares[token])
            player = -player if _legal(board, -player) else player
        held = {f"square {COLUMNS[c]}{r + 1}": (disc * player) % 3 for (r, c), disc in board.items()}
        assert held == {name: value[i] for name, value in context.latents.items()}
        assert context.probe.allowed is not None
        assert {squares[j] for j in context.probe.allowed[i].nonzero()[0]} == _legal(board, player)
        assert squares[context.probe.targets[i]] in _legal(board, player)


def test_every_move_asked_for_is_legal_and_after_the_end_nothing_is_asked() -> None:
    for part in (SMALL.split(0).train, SMALL.split(0).test):
        assert part.allowed is not None
        game, read = (part.targets >= 0).nonzero()
        assert part.allowed[game, read, part.targets[game, read]].all()
        assert not part.allowed[:, HELD_AFTER - 1 :][part.targets[:, HELD_AFTER - 1 :] < 0].any()


def test_no_board_that_is_asked_about_first_was_trained_on_nor_an_image_of_it() -> None:
    split = SMALL.split(0)
    learned = np.concatenate([SMALL.stream(0, step, 256).tokens for step in range(40)] + [split.train.tokens])
    trained = {tuple(row) for row in _boards(learned)}
    assert not trained & {tuple(row) for row in _boards(split.test.tokens)}
    assert (split.test.targets[:, : HELD_AFTER - 1] == -1).all()
    assert (split.test.targets[:, HELD_AFTER - 1] >= 0).mean() > 0.99


def test_shuffled_games_hold_the_same_squares_and_leave_test_and_probe_alone() -> None:
    plain, shuffled = SMALL, Othello(is_shuffled=True)
    np.testing.assert_array_equal(plain.split(0).test.tokens, shuffled.split(0).test.tokens)
    np.testing.assert_array_equal(plain.context(0).probe.tokens, shuffled.context(0).probe.tokens)
    assert not shuffled.context(0).probe.is_train.any()
    whole = [np.column_stack([f.split(0).train.tokens, f.split(0).train.targets[:, -1]]) for f in (plain, shuffled)]
    np.testing.assert_array_equal(*(np.sort(np.where(games < 0, 12, games), axis=1) for games in whole))
    assert not np.array_equal(*whole)


def _boards(tokens: np.ndarray) -> np.ndarray:
    """Without symmetry, after the moves after which boards are held out."""
    square = np.array([0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15, -1], dtype=np.int8)
    return rules.without_symmetry(rules.positions(square[tokens[:, :HELD_AFTER]], 4)[-1], 4)


def _board(side: int) -> dict[tuple[int, int], int]:
    """1 black, who begins, -1 white, 0 empty."""
    board = {(r, c): 0 for r in range(side) for c in range(side)}
    low, high = side // 2 - 1, side // 2
    return board | {(low, high): 1, (high, low): 1, (low, low): -1, (high, high): -1}


def _flips(board: dict[tuple[int, int], int], player: int, at: tuple[int, int]) -> set[tuple[int, int]]:
    flipped: set[tuple[int, int]] = set()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            line, here = set(), (at[0] + down, at[1] + right)
            while board.get(here) == -player:
                line.add(here)
                here = here[0] + down, here[1] + right
            flipped |= line if board.get(here) == player else set()
    return flipped


def _legal(board: dict[tuple[int, int], int], player: int) -> set[tuple[int, int]]:
    return {at for at, disc in board.items() if not disc and _flips(board, player, at)}


def _play(board: dict[tuple[int, int], int], player: int, at: tuple[int, int]) -> None:
    board |= dict.fromkeys({at, *_flips(board, player, at)}, player)
