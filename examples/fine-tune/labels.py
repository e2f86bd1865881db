"""The paper's labels, from the sampled qualities of a small and a large model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = list[float]
# The most values of t that the search for t* looks at, as in `hybrid-llm label`.
GRID = 256
# Differences of quality closer than this part of them are one: .8 - .7 and .2 - .1 differ in their last bits.
SAME = 1e-9


def gaps(small: Samples, large: Samples) -> NDArray[np.float64]:
    """H(x) = q(S(x)) - q(L(x)) over all pairs of a small and a large response."""
    return np.subtract.outer(np.asarray(small), np.asarray(large)).ravel()


def make(label: str, small: list[Samples], large: list[Samples], relaxation: float | None) -> NDArray[np.float32]:
    """y of every query, of one kind: det, prob, or trans with its relaxation t*."""
    if label == "det":
        return np.array([s[0] >= l[0] for s, l in zip(small, large)], dtype=np.float32)
    pairs = [gaps(s, l) for s, l in zip(small, large)]
    return _probability(pairs, 0.0 if label == "prob" or relaxation is None else relaxation)


def _probability(pairs: list[NDArray[np.float64]], t: float) -> NDArray[np.float32]:
    """y(t) = Pr[H(x) >= -t]."""
    return np.array([(h >= -t * (1.0 + SAME)).mean() for h in pairs], dtype=np.float32)


def best_relaxation(pairs: list[NDArray[np.float64]]) -> float:
    """t* = argmax over a grid of the mean of abs(y_i(t) - y_j(t)); the smallest t among equals.

    y(t) changes only where t is one of the losses: those are the grid, or evenly ranked ones of them where there are many.
    """
    losses = np.sort(np.concatenate([-h[h < 0] for h in pairs] or [np.zeros(0)]))
    if not len(losses):
        return 0.0
    distinct = losses[_is_new(losses)]
    if len(distinct) >= GRID:
        # A loss counts as often as it occurs: labels move most where losses are frequent.
        step = -(-len(losses) // (GRID - 1))
        ranked = losses[np.minimum(np.arange(step - 1, len(losses) + step - 1, step), len(losses) - 1)]
        distinct = ranked[_is_new(ranked)]
    grid = np.concatenate([[0.0], distinct])
    spread = [_mean_difference(_probability(pairs, t)) for t in grid]
    return float(grid[int(np.argmax(np.round(spread, 9)))])


def _is_new(ascending: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a value is not the one before it, but for its last bits."""
    return np.concatenate([[True], ascending[1:] > ascending[:-1] * (1.0 + SAME)])


def _mean_difference(y: NDArray[np.float32]) -> float:
    """(1/N^2) sum_i sum_j abs(y_i - y_j), by sorting."""
    ordered = np.sort(y.astype(np.float64))
    n = len(ordered)
    return float(2.0 * np.dot(2.0 * np.arange(n) - n + 1, ordered) / n**2)


def is_binary(samples: list[Samples]) -> bool:
    """Whether every quality is 0 or 1; then y(t) is the same for all t below 1, and r_trans equals r_prob."""
    return all(q in (0.0, 1.0) for qualities in samples for q in qualities)
