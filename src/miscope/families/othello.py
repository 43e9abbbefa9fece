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
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.families import _othello_rules as rules
from miscope.maths.spectra import Basis

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
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "on games in shuffled order no probe rises above the untrained network's, and moves are illegal.": {
                "is_shuffled": True
            }
        }
    )

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
        seen = rules.shuffled(train, np.random.default_rng([data_seed, 2])) if self.is_shuffled else train
        learned = self._examples(seen, has_rules=not self.is_shuffled)
        asked = self._examples(test, has_rules=True)
        asked.targets[:, : HELD_AFTER - 1] = -1
        return Split(learned, asked)

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples:
        games, is_test = _games(self, data_seed)
        rng = np.random.default_rng([data_seed, 3, step])
        moves = rules.drawn(games, ~is_test, batch_size, rng, has_twins=True)
        return self._examples(rules.shuffled(moves, rng) if self.is_shuffled else moves)

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
            latents=MappingProxyType(rules.board_after(moves[chosen, :n], self.board)),
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
        side, centre = self.board, rules.squares(sum(rules.start(self.board), np.zeros(1, np.uint64)), self.board)[0]
        token = np.append(np.where(centre, -1, np.cumsum(~centre) - 1), -1)[moves]
        allowed = None
        if has_rules:
            legal = [rules.legal(position, side) for position in rules.positions(moves[:, :-1], side)[1:]]
            allowed = np.stack([rules.squares(bits, side)[:, ~centre] for bits in legal], axis=1)
        tokens = np.where(token < 0, self._n_moves, token)[:, :-1]
        return Examples(tokens.astype(np.int64), token[:, 1:].astype(np.int64), allowed)

    def _measured(self, data_seed: int) -> tuple[np.ndarray, np.ndarray]:
        """A fixed sample of the games to train on, and of those held out."""
        games, is_test = _games(self, data_seed)
        rng = np.random.default_rng([data_seed, 1])
        train, test = (rules.drawn(games, part, MEASURED, rng, has_twins=False) for part in (~is_test, is_test))
        return train, test


@lru_cache(maxsize=4)
def _games(task: Othello, data_seed: int) -> tuple[rules.Games, np.ndarray]:
    """The games, and which of them run through a board that is held out."""
    side = task.board
    games = rules.all_games(side) if side == 4 else rules.random_games(side, task.n_games, data_seed)
    after = rules.positions(games.moves[:, :HELD_AFTER], side)[-1]
    boards, index = np.unique(rules.without_symmetry(after, side), axis=0, return_inverse=True)
    is_held = np.random.default_rng(data_seed).permutation(len(boards)) < round(task.test_fraction * len(boards))
    return games, is_held[index.ravel()]


family = Othello
