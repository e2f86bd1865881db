"""Turns rows of query data into the columns that the heads learn, and says how a score is read from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import labels
from query_data import Row
from recipe import Recipe

GOOD = "good enough"
# How much telling the files apart counts, a file, beside the qualities.
GATE_WEIGHT = 0.3
# A source of few rows says little: its mean is taken together with so many rows at the file's mean.
PRIOR_ROWS = 10


@dataclass(frozen=True)
class Mixture:
    """Each file is an expert on the gap of its pair; a query asks those whose queries it is like.

    Both arrays are [columns, files]: `pair` sums a file's small models' probabilities less its large models', `gate` takes
    the probability that a query is of the file, times the file's `rank`.
    """

    pair: NDArray[np.float32]
    gate: NDArray[np.float32]

    def gap(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        gates = probability @ self.gate
        return (gates * (probability @ self.pair)).sum(1) / gates.sum(1)


@dataclass(frozen=True)
class Targets:
    """What is learned and what is measured, a row of each array for a query.

    `value` is [rows, columns] in [0, 1]; `weight` says how much a cell counts, 0 where a model did not answer.
    `mixture` says how the columns make what queries are ranked by; None when the one logit is the score. `good` is the
    label that the score shall predict; `small` and `large` are the tiers' mean qualities.
    """

    names: list[str]
    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    mixture: Mixture | None
    good: NDArray[np.float32]
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
    if label == "trans" and relaxation is None:
        relaxation = labels.best_relaxation(
            [labels.gaps(s, l) for s, l, t in zip(small, large, training) if t]
        )
    mean_small = np.array([np.mean(s) for s in small])
    mean_large = np.array([np.mean(l) for l in large])
    good = labels.make("prob" if label == "gap" else label, small, large, relaxation)
    if label == "gap":
        models, value = _qualities(rows, training)
        gates = [f"of {data.name}" for data in files]
        names, mixture = [*models, *gates], _mixture(models, recipe)
        answered = ~np.isnan(value)
        weight = answered / np.sqrt(np.maximum(answered.sum(1, keepdims=True), 1))
        weight *= np.array([files[f].weight for f in file])[:, None]
    else:
        names, mixture, value = [GOOD], None, good[:, None].astype(np.float64)
        weight = np.array([[files[f].weight] for f in file])
    for index, data in enumerate(files):
        if data.smooth > 0:
            here = file == index
            sources = np.array([row.source for row in rows])
            value[here] = _smoothed(value[here], sources[here], training[here], data.smooth)
    if mixture is not None:
        value = np.hstack([value, np.eye(len(files))[file]])
        weight = np.hstack([weight, np.full((len(rows), len(files)), GATE_WEIGHT)])
    return Targets(
        names,
        np.nan_to_num(value).astype(np.float32),
        (weight / weight[training].sum(1).mean()).astype(np.float32),
        mixture,
        good,
        mean_small,
        mean_large,
        relaxation if label == "trans" else None,
    )


def _qualities(rows: list[Row], training: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.float64]]:
    """Every model's mean quality, scaled to [0, 1] when it isn't there; ranking by a gap stays the same."""
    models = sorted({model for row in rows for model in row.quality})
    column = {model: i for i, model in enumerate(models)}
    value = np.full((len(rows), len(models)), np.nan)
    for i, row in enumerate(rows):
        for model, samples in row.quality.items():
            value[i, column[model]] = np.mean(samples)
    low, high = np.nanmin(value[training]), np.nanmax(value[training])
    if low < 0 or high > 1:
        value = np.clip((value - low) / (high - low), 0.0, 1.0)
    return models, value


def _mixture(models: list[str], recipe: Recipe) -> Mixture:
    files = recipe.train
    pair = np.zeros((len(models) + len(files), len(files)), dtype=np.float32)
    gate = np.zeros_like(pair)
    for index, data in enumerate(files):
        gate[len(models) + index, index] = data.rank
        for tier, sign in ((data.small, 1.0), (data.large, -1.0)):
            for model in tier:
                pair[models.index(model), index] += sign / len(tier)
    if not gate.any():
        raise ValueError("the recipe ranks by nothing: give rank above 0 in a [[train]]")
    return Mixture(pair, gate)


def _smoothed(
    value: NDArray[np.float64], sources: NDArray[np.str_], training: NDArray[np.bool_], part: float
) -> NDArray[np.float64]:
    """Draws labels towards the mean over the training rows of their source.

    One response says little about a query: it is a coin thrown once. The mean over a topic's rows has less noise, and
    the topic is what a query shows on its face.
    """
    filled = np.where(training[:, None], value, np.nan)
    answered = ~np.isnan(filled)
    overall = np.nansum(filled, 0) / np.maximum(answered.sum(0), 1)
    result = value.copy()
    for source in np.unique(sources):
        here = sources == source
        count = answered[here].sum(0)
        mean = (np.nansum(filled[here], 0) + PRIOR_ROWS * overall) / (count + PRIOR_ROWS)
        result[here] = (1.0 - part) * value[here] + part * mean
    return result
