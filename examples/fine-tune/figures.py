"""APGR, RouteLLM's figure of a ranking: enough to choose a checkpoint by. `hybrid-llm evaluate` gives all figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CUTS = 10  # RouteLLM's number of quantiles


def apgr(score: NDArray[np.float64], small: NDArray[np.float64], large: NDArray[np.float64]) -> float:
    """Area under the recovered part of the quality gap over the share of calls to the large model; NaN without a gap."""
    gap = large.mean() - small.mean()
    if gap == 0:
        return float("nan")
    need = -score
    thresholds = np.unique(np.quantile(need, np.linspace(0, 1, CUTS + 1)))
    calls, quality = [0.0], [float(small.mean())]  # RouteLLM's last threshold: strictly above the maximum
    for threshold in thresholds[-2::-1] if len(thresholds) > 1 else thresholds:
        strong = need >= threshold
        calls.append(float(strong.mean()))
        quality.append(float(np.where(strong, large, small).mean()))
    return float(np.trapezoid((np.array(quality) - small.mean()) / gap, np.array(calls)))


def apgr_by_file(
    score: NDArray[np.float64], small: NDArray[np.float64], large: NDArray[np.float64], file: NDArray[np.int64], count: int
) -> tuple[list[float], float]:
    """Each file's APGR, since only the order inside one file's pair means something, and their mean.

    A file counts by the square root of its rows, as the error of its figure falls with it.
    """
    here = [file == i for i in range(count)]
    values = [apgr(score[rows], small[rows], large[rows]) if rows.any() else float("nan") for rows in here]
    sizes = np.sqrt([rows.sum() for rows in here])
    known = ~np.isnan(values)
    mean = float(np.average(np.array(values)[known], weights=sizes[known])) if known.any() else float("nan")
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


def platt(rank: NDArray[np.float64], label: NDArray[np.float32]) -> tuple[float, float]:
    """Slope and offset of the logit at which the sigmoid best predicts the label: Newton's method, slope above zero."""
    x = np.column_stack([rank, np.ones_like(rank)])
    parameters = np.zeros(2)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-x @ parameters))
        gradient = x.T @ (p - label) / len(rank) + np.array([1e-6, 0.0]) * parameters
        hessian = (x * (p * (1 - p))[:, None]).T @ x / len(rank) + 1e-9 * np.eye(2)
        parameters = parameters - np.linalg.solve(hessian, gradient)
    if parameters[0] <= 0:
        raise ValueError(
            "on the held-out rows the ranking is no better than its reverse: there is nothing to serve; "
            "check which model is the small one, or give more data"
        )
    return float(parameters[0]), float(parameters[1])
