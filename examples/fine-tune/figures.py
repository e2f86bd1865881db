"""APGR, RouteLLM's figure of a ranking: enough to choose a checkpoint by. `hybrid-llm evaluate` gives all figures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CUTS = 10  # RouteLLM's number of quantiles
SAME = 1e-12  # a gap of so small a part of the qualities is only the order in which they were added


def apgr(score: NDArray[np.float64], small: NDArray[np.float64], large: NDArray[np.float64]) -> float:
    """Area under the recovered part of the quality gap over the share of calls to the large model.

    NaN where the large model is not better, as there is nothing to recover, and where a score is NaN.
    """
    gap = large.mean() - small.mean()
    last_bits = SAME * (np.abs(large).mean() + np.abs(small).mean())
    if not gap > last_bits or np.isnan(score).any():
        return math.nan
    need = -score
    thresholds = np.unique(np.quantile(need, np.linspace(0, 1, CUTS + 1)))
    calls, quality = [0.0], [float(small.mean())]  # RouteLLM's last threshold: strictly above the maximum
    for threshold in thresholds[-2::-1] if len(thresholds) > 1 else thresholds:
        strong = need >= threshold
        calls.append(float(strong.mean()))
        quality.append(float(np.where(strong, large, small).mean()))
    return float(np.trapezoid((np.array(quality) - small.mean()) / gap, np.array(calls)))


def better(one: float, other: float) -> bool:
    """Whether a figure is the higher one. One that is not defined never is, and stands in no other's way."""
    return not math.isnan(one) and (math.isnan(other) or one > other)


def apgr_by_file(
    score: NDArray[np.float64], small: NDArray[np.float64], large: NDArray[np.float64], file: NDArray[np.int64], count: int
) -> tuple[list[float], float]:
    """Each file's APGR, since only the order inside one file's pair means something, and their mean.

    A file counts by the square root of its rows, as the error of its figure falls with it.
    """
    here = [file == i for i in range(count)]
    values = [apgr(score[rows], small[rows], large[rows]) if rows.any() else math.nan for rows in here]
    sizes = np.sqrt([rows.sum() for rows in here])
    known = ~np.isnan(values)
    mean = float(np.average(np.array(values)[known], weights=sizes[known])) if known.any() else math.nan
    return values, mean


def error_of_difference(
    one: NDArray[np.float64], other: NDArray[np.float64], small: NDArray[np.float64], large: NDArray[np.float64],
    file: NDArray[np.int64], count: int, draws: int = 200,
) -> float:
    """The standard error of the difference between two rankings' mean APGR on the same rows, by the bootstrap."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        rows = random.integers(0, len(one), len(one))
        figures = [apgr_by_file(s[rows], small[rows], large[rows], file[rows], count)[1] for s in (one, other)]
        found.append(figures[0] - figures[1])
    return float(np.nanstd(found))


def quantile(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """Which part of `among` is lower than each of the values; of what is equal to it, a half."""
    ordered = np.sort(among)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * max(len(among), 1))


def to_quantile(rank: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset of the logit whose sigmoid best says which part of these rankings are lower; slope above zero.

    Of rankings that are all alike a half is lower, whatever their scale: they are refused, as nothing can be served by them.
    """
    if not np.ptp(rank) > 0:
        raise ValueError("all held-out queries rank alike: there is nothing to serve; give more data, or train for longer")
    centre, spread = float(rank.mean()), float(rank.std())
    slope, offset = _logistic((rank - centre) / spread, quantile(rank, rank))
    return slope / spread, offset - slope / spread * centre


def _logistic(standard: NDArray[np.float64], label: NDArray[np.float64]) -> tuple[float, float]:
    """Logistic regression on one column of mean 0 and spread 1, by Newton's method with steps that never lead upwards."""
    x = np.column_stack([standard, np.ones_like(standard)])
    ridge = np.diag([1e-6, 1e-9])  # where a threshold tells the labels apart, no finite slope is best

    def loss(parameters: NDArray[np.float64]) -> float:
        logit = x @ parameters
        return float((np.logaddexp(0.0, logit) - label * logit).mean() + parameters @ ridge @ parameters / 2)

    parameters = np.zeros(2)
    for _ in range(100):
        p = 0.5 + 0.5 * np.tanh(x @ parameters / 2)  # the sigmoid, without overflow
        gradient = x.T @ (p - label) / len(x) + ridge @ parameters
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x / len(x) + ridge, gradient)
        while np.abs(step).max() > 1e-12 and loss(parameters - step) > loss(parameters):
            step /= 2
        parameters = parameters - step
    return float(parameters[0]), float(parameters[1])
