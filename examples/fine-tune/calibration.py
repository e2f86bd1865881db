"""Turns held-out scores into the table that maps a threshold to a small share and a quality drop."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

ROWS = 101


def table(score: np.ndarray, small: np.ndarray, large: np.ndarray, draws: int, seed: int) -> list[dict]:
    """Rows by ascending threshold. A query goes to the small model when its score is at least the threshold.

    The measured drop can fall below zero, and it jitters from one threshold to the next. An operator's dial needs one
    answer that never gets better as more goes to the small model, so both drops are the running maximum from the
    highest threshold down, from zero on. The bound is the 95th percentile over bootstrap draws of the queries at each
    threshold by itself.
    """
    quantiles = np.quantile(score, np.linspace(0, 1, ROWS))
    # The first row sends everything to the small model, whatever the score; rounding comes first, shares after it.
    thresholds = np.unique(np.round(np.concatenate([[0.0], quantiles[1:-1], [_ceil(score.max())]]), 6))
    order = np.argsort(-score, kind="stable")
    counts = np.searchsorted(-score[order], -thresholds, side="right")
    lost = (large - small)[order]
    upper_draws = np.empty((draws, len(thresholds)))
    rng = np.random.default_rng(seed)
    n = len(score)
    for d in tqdm(range(draws), desc="bootstrap calibration", leave=False):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)
        upper_draws[d] = _drop(lost * weight, counts, np.dot(large[order], weight))
    drop = _monotone(_drop(lost, counts, large.sum()))
    upper = _monotone(np.maximum(np.quantile(upper_draws, 0.95, axis=0), drop))
    return [
        {
            "threshold": round(float(t), 6),
            "small_share": round(float(c) / n, 6),
            "quality_drop": round(float(d), 6),
            "quality_drop_upper95": round(float(u), 6),
        }
        for t, c, d, u in zip(thresholds, counts, drop, upper)
    ]


def _ceil(value: float) -> float:
    """Up to six digits, so that rounding never leaves the highest score above the last threshold."""
    return float(np.ceil(value * 1e6) / 1e6)


def _drop(lost: np.ndarray, counts: np.ndarray, large_sum: float) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(lost)])
    return total[counts] / abs(large_sum)


def _monotone(drop: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(np.maximum(drop, 0.0)[::-1])[::-1]


def histogram(score: np.ndarray) -> dict:
    """The reference that a server compares live scores with, to notice drift."""
    edges = np.round(np.linspace(0, 1, 21), 2)
    counts, _ = np.histogram(score, edges)
    return {"edges": [float(e) for e in edges], "counts": [int(c) for c in counts]}
