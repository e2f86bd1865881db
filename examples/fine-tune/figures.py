"""The figures of a router: RouteLLM's APGR and CPT, and the quality drop at a cost advantage, with intervals."""

from __future__ import annotations

from typing import Callable

import numpy as np
from tqdm import tqdm

CUTS = 10  # RouteLLM's number of quantiles
SHARES = (10, 20, 40)  # per cent of queries at the small model
NAMES = ("apgr", "cpt50", "cpt80", *(f"drop{s}" for s in SHARES))


def curve(score: np.ndarray, small: np.ndarray, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of calls to the large model, ascending, and the mean quality there, at RouteLLM's eleven thresholds."""
    need = -score
    thresholds = np.unique(np.quantile(need, np.linspace(0, 1, CUTS + 1)))
    calls, quality = [0.0], [float(small.mean())]  # RouteLLM's last threshold: strictly above the maximum
    for threshold in thresholds[-2::-1] if len(thresholds) > 1 else thresholds:
        strong = need >= threshold
        calls.append(float(strong.mean()))
        quality.append(float(np.where(strong, large, small).mean()))
    return np.array(calls), np.array(quality)


def _calls_for(part: float, calls: np.ndarray, recovered: np.ndarray) -> float:
    """Per cent of calls to the large model at which the curve first recovers `part` of the gap.

    RouteLLM interpolates the inverse curve, which is only defined while it rises; the first crossing is the same there.
    """
    for i in range(1, len(calls)):
        if recovered[i] >= part:
            rise = recovered[i] - recovered[i - 1]
            within = (part - recovered[i - 1]) / rise if rise > 0 else 0.0
            return 100.0 * float(calls[i - 1] + max(within, 0.0) * (calls[i] - calls[i - 1]))
    return 100.0


def measure(score: np.ndarray, small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """The figures in the order of NAMES. CPT in per cent of calls; drops as a part of the large model's quality."""
    calls, quality = curve(score, small, large)
    gap = large.mean() - small.mean()
    recovered = (quality - small.mean()) / gap
    apgr = float(np.trapezoid(recovered, calls))
    order = np.argsort(-score, kind="stable")
    lost = np.cumsum((large - small)[order]) / len(score) / abs(large.mean())
    drops = [float(lost[round(len(score) * s / 100) - 1]) for s in SHARES]
    return np.array([apgr, _calls_for(0.5, calls, recovered), _calls_for(0.8, calls, recovered), *drops])


def apgr(score: np.ndarray, small: np.ndarray, large: np.ndarray) -> float:
    calls, quality = curve(score, small, large)
    return float(np.trapezoid((quality - small.mean()) / (large.mean() - small.mean()), calls))


def _record(value: np.ndarray, samples: np.ndarray) -> dict:
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    cells = [
        {"value": round(float(v), 4), "low": round(float(a), 4), "high": round(float(b), 4)}
        for v, a, b in zip(value, low, high)
    ]
    named = dict(zip(NAMES, cells))
    return {
        **{k: named[k] for k in ("apgr", "cpt50", "cpt80")},
        "drop_at": {str(s): named[f"drop{s}"] for s in SHARES},
    }


def report(
    title: str, score: np.ndarray, queries: list[str], small: np.ndarray, large: np.ndarray, draws: int, seed: int
) -> dict:
    """The router's figures with 95 % bootstrap intervals, and the same for the random and the length baseline."""
    rng = np.random.default_rng(seed)
    length = -np.array([len(q) for q in queries], dtype=float)
    n = len(queries)
    samples: dict[str, list[np.ndarray]] = {"router": [], "random": [], "length": []}
    for _ in tqdm(range(draws), desc=f"bootstrap {title}", leave=False):
        i = rng.integers(0, n, n)
        s, l = small[i], large[i]
        samples["router"].append(measure(score[i], s, l))
        samples["length"].append(measure(length[i], s, l))
        samples["random"].append(measure(rng.random(n), s, l))
    # What a random order gives on average is known; its interval shows how far one random order strays.
    gap = (large.mean() - small.mean()) / abs(large.mean())
    expected = np.array([0.5, 50.0, 80.0, *(gap * s / 100 for s in SHARES)])
    return {
        "n": n,
        "quality_small": round(float(small.mean()), 4),
        "quality_large": round(float(large.mean()), 4),
        **_record(measure(score, small, large), np.array(samples["router"])),
        "baselines": {
            "random": _record(expected, np.array(samples["random"])),
            "length": _record(measure(length, small, large), np.array(samples["length"])),
        },
    }


def paired_difference(
    values: Callable[[np.ndarray], tuple[float, float]], n: int, draws: int, seed: int
) -> tuple[float, float]:
    """95 % bootstrap interval of first minus second, where `values` gives both for one draw of row numbers."""
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(draws):
        first, second = values(rng.integers(0, n, n))
        differences.append(first - second)
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def table(sets: dict[str, dict]) -> str:
    """A Markdown table of what `report` gave, one line for a set and a way to route."""
    head = "| set | n | routed by | APGR | CPT50 % | CPT80 % | " + " | ".join(f"drop at {s} %" for s in SHARES) + " |"
    lines = [head, "|" + "---|" * (6 + len(SHARES))]
    for name, figures in sets.items():
        for way, cells in {"router": figures, **figures["baselines"]}.items():
            row = [_cell(cells["apgr"], 1, 3), _cell(cells["cpt50"], 1, 1), _cell(cells["cpt80"], 1, 1)]
            row += [_cell(cells["drop_at"][str(s)], 100, 1) + " %" for s in SHARES]
            lines.append(f"| {name} | {figures['n']:,} | {way} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _cell(figure: dict, factor: float, digits: int) -> str:
    value, low, high = (f"{factor * figure[k]:.{digits}f}" for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
