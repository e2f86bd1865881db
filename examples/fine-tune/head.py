"""Trains the r_det head: logistic regression on frozen embeddings, chosen on held-out folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import figures
from query_data import Rows, folds

FOLDS = 5
# L2 strength as scikit-learn's C: the higher, the weaker.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# A source of n rows gets the total weight n^(1-p): 0 leaves every row equal, 1 makes every source equal.
POWERS = (0.0, 0.5, 1.0)
# The columns that carry the sources' intercepts are scaled up so that the penalty hardly holds them back.
INTERCEPT_SCALE = 5.0


@dataclass(frozen=True)
class Setting:
    max_tokens: int
    strength: float
    power: float


@dataclass(frozen=True)
class Choice:
    setting: Setting
    apgr: float
    held_out: np.ndarray  # scores of rows by heads that did not see them
    tried: list[tuple[Setting, float]]


class Problem:
    """All training rows in one place. Each source has another pair of models and so another base rate."""

    def __init__(self, sources: list[Rows]) -> None:
        self.sources = sources
        self.queries = [q for rows in sources for q in rows.queries]
        self.small = np.concatenate([rows.small for rows in sources])
        self.large = np.concatenate([rows.large for rows in sources])
        self.label = np.concatenate([rows.label for rows in sources])
        self.source = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(sources)])
        self.fold = folds(self.queries, FOLDS)

    def weights(self, power: float) -> np.ndarray:
        weight = np.bincount(self.source).astype(float)[self.source] ** -power
        return weight / weight.mean()

    def apgr(self, score: np.ndarray, picks: list[np.ndarray] | None = None) -> float:
        """The plain mean of the sources' APGRs: ranking inside a source counts, telling sources apart does not."""
        picks = picks or [np.flatnonzero(self.source == i) for i in range(len(self.sources))]
        return float(np.mean([figures.apgr(score[p], self.small[p], self.large[p]) for p in picks]))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def fit(p: Problem, x: np.ndarray, rows: np.ndarray, strength: float, power: float) -> tuple[np.ndarray, float]:
    """Weights and bias of one head, from the given rows.

    Training gives each source its own intercept, so that the weights learn which queries of a source are hard and
    not which source a query is from. A served query has no source: it gets the one bias at which the mean score over
    the (weighted) rows is the mean label.
    """
    weight = p.weights(power)[rows]
    columns = np.eye(len(p.sources))[p.source[rows]] * INTERCEPT_SCALE
    model = LogisticRegression(C=strength, fit_intercept=False, solver="newton-cholesky")
    # One thread: the order of additions, and so the last bits of the weights, must not depend on the machine's load.
    with threadpool_limits(1):
        model.fit(np.hstack([x[rows], columns]), p.label[rows], sample_weight=weight)
    head = model.coef_[0][: x.shape[1]]
    logit, target = x[rows] @ head, np.average(p.label[rows], weights=weight)
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        too_low = np.average(sigmoid(logit + middle), weights=weight) < target
        low, high = (middle, high) if too_low else (low, middle)
    return head, (low + high) / 2


def held_out_scores(p: Problem, x: np.ndarray, strength: float, power: float) -> np.ndarray:
    score = np.empty(len(p.label))
    for fold in range(FOLDS):
        inside = p.fold == fold
        head, bias = fit(p, x, np.flatnonzero(~inside), strength, power)
        score[inside] = sigmoid(x[inside] @ head + bias)
    return score


def choose(p: Problem, embeddings: dict[int, np.ndarray], draws: int, seed: int) -> Choice:
    """The best strength and power at each token limit, then the smallest limit that is no worse than the best.

    "No worse": the 95 % bootstrap interval of its held-out APGR less the best limit's includes zero or lies above.
    """
    grid = [Setting(t, c, w) for t in sorted(embeddings) for c in STRENGTHS for w in POWERS]
    tried: list[tuple[Setting, float]] = []
    best: dict[int, tuple[float, Setting, np.ndarray]] = {}
    for setting in tqdm(grid, desc="choose the head"):
        score = held_out_scores(p, embeddings[setting.max_tokens], setting.strength, setting.power)
        value = p.apgr(score)
        tried.append((setting, value))
        if setting.max_tokens not in best or value > best[setting.max_tokens][0]:
            best[setting.max_tokens] = (value, setting, score)
    top = max(best.values(), key=lambda b: b[0])
    for limit in sorted(best):
        value, setting, score = best[limit]
        if setting == top[1] or _no_worse(p, score, top[2], draws, seed):
            return Choice(setting, value, score, tried)
    raise AssertionError("the best limit is no worse than itself")


def _no_worse(p: Problem, score: np.ndarray, best: np.ndarray, draws: int, seed: int) -> bool:
    def values(i: np.ndarray) -> tuple[float, float]:
        picks = [i[p.source[i] == s] for s in range(len(p.sources))]
        return p.apgr(score, picks), p.apgr(best, picks)

    return figures.paired_difference(values, len(p.label), draws, seed)[1] >= 0.0
