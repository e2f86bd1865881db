"""Turns rows of query data into the label that the router learns, and the tiers' qualities that it is measured by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import figures
import labels
from query_data import Row
from recipe import DataFile, Recipe

# A source of few rows says little: its mean is taken together with so many rows at the file's mean.
PRIOR_ROWS = 10
# A standard deviation of so small a part of the largest gap is rounding.
SAME = 1e-9


@dataclass(frozen=True)
class Targets:
    """What is learned and what is measured, an element of each array for a query.

    `value` is the label in [0, 1] and `weight` how much it counts in the loss, 1 in the mean over the training rows.
    `small` and `large` are the tiers' mean qualities. `relaxation` is the t of the label `trans`.
    """

    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    small: NDArray[np.float64]
    large: NDArray[np.float64]
    relaxation: float | None


def pool(row: Row, models: list[str]) -> list[float]:
    """All samples of a tier: of one model, or of every model of a pool that answered."""
    return [q for model in models for q in row.quality.get(model, [])]


def build(
    rows: list[Row],
    file: NDArray[np.int64],
    recipe: Recipe,
    training: NDArray[np.bool_],
    label: str,
    relaxation: float | None,
) -> Targets:
    """`file` is the index of each row's file; only rows in `training` are averaged over, searched and scaled by."""
    files = recipe.train
    small = [pool(row, files[f].small) for row, f in zip(rows, file)]
    large = [pool(row, files[f].large) for row, f in zip(rows, file)]
    mean_small = np.array([np.mean(s) for s in small])
    mean_large = np.array([np.mean(l) for l in large])
    if label == "trans" and relaxation is None:
        relaxation = labels.best_relaxation([labels.gaps(s, l) for s, l, t in zip(small, large, training) if t])
    gap = label == "gap"
    value = mean_small - mean_large if gap else labels.make(label, small, large, relaxation).astype(np.float64)
    sources = np.array([row.source for row in rows])
    for index, data in enumerate(files):
        here = file == index
        own = figures.quantile(value[here], value[here & training]) if gap and data.rank else value[here]
        drawn = _smoothed(own, sources[here], training[here], data.smooth) if data.smooth > 0 else own
        value[here] = centred(drawn, own, training[here], data) if gap else drawn
    weight = np.array([files[f].weight for f in file])
    return Targets(
        value.astype(np.float32),
        (weight / weight[training].mean()).astype(np.float32),
        mean_small,
        mean_large,
        relaxation if label == "trans" else None,
    )


def centred(
    gap: NDArray[np.float64], own: NDArray[np.float64], training: NDArray[np.bool_], data: DataFile
) -> NDArray[np.float64]:
    """The label of a gap: .5 at the file's mean, and `spread` more for each standard deviation of the file's own gaps.

    What a gap is worth differs from file to file: a rating's .2 is much, one 0-or-1 response is a coin thrown once, and
    one pair of models is further apart than another. The order within a file is what they all tell.
    """
    if not training.any():
        raise ValueError(f"{data.name}: no row of it is left to train on; leave it out, or give more data")
    deviation = float(own[training].std())
    if deviation <= SAME * float(np.abs(own[training]).max()):
        raise ValueError(f"{data.name}: the gap between {data.small} and {data.large} is the same in all training rows")
    return np.clip(0.5 + data.spread * (gap - gap[training].mean()) / deviation, 0.0, 1.0)


def _smoothed(
    value: NDArray[np.float64], sources: NDArray[np.str_], training: NDArray[np.bool_], part: float
) -> NDArray[np.float64]:
    """Draws labels towards the mean over the training rows of their source.

    One response says little about a query: it is a coin thrown once. The mean over a topic's rows has less noise, and
    the topic is what a query shows on its face.
    """
    overall = value[training].mean() if training.any() else 0.0
    result = value.copy()
    for source in np.unique(sources):
        here = sources == source
        known = value[here & training]
        mean = (known.sum() + PRIOR_ROWS * overall) / (len(known) + PRIOR_ROWS)
        result[here] = (1.0 - part) * value[here] + part * mean
    return result

