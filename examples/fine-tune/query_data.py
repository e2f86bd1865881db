"""Reads query data, tells held-out queries from training ones and keeps measured queries out of both."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROW_FORM = '{"id": "…", "source": "…", "query": "…", "quality": {"MODEL": [q, …]}}'
# A query belongs to one of so many parts, by a hash of its text; the first ones are held out.
PARTS = 20


@dataclass(frozen=True)
class Row:
    """One query with the sampled qualities of every model that answered it."""

    query: str
    source: str
    quality: dict[str, list[float]]
    line: str


def read(file: Path) -> list[Row]:
    """Every row of one file. Raises ValueError that names the file and the line of the first bad row."""
    rows: list[Row] = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                rows.append(_row(json.loads(line), line))
            except ValueError as error:
                raise ValueError(f"{file} line {number}: {error}; each line must be {ROW_FORM}") from error
    if not rows:
        raise ValueError(f"{file} has no rows; each line must be {ROW_FORM}")
    return rows


def _row(row: Any, line: str) -> Row:
    if not isinstance(row, dict) or not isinstance(row.get("query"), str) or not row["query"].strip():
        raise ValueError('there is no "query" with text in it')
    quality = row.get("quality")
    if not isinstance(quality, dict):
        raise ValueError(f'"quality" is {quality!r}, not an object of models')
    for model, samples in quality.items():
        if not isinstance(samples, list) or not all(type(q) in (int, float) and math.isfinite(q) for q in samples):
            raise ValueError(f"the quality of {model!r} is {samples!r}, not a list of finite numbers")
    answered = {model: [float(q) for q in samples] for model, samples in quality.items() if samples}
    return Row(row["query"], str(row.get("source", "")), answered, line)


def normalised(query: str) -> str:
    """Case, spaces and punctuation aside, what makes two queries the same."""
    return re.sub(r"[\W_]+", " ", query.lower()).strip()


def without(rows: list[Row], measured: Iterable[Row]) -> list[Row]:
    """The rows whose query is not among the measured: a benchmark may hold one question under two ids."""
    queries = {normalised(row.query) for row in measured}
    return [row for row in rows if normalised(row.query) not in queries]


def held_out(query: str, parts: int) -> bool:
    """Whether a query is among the first `parts` of 20; equal queries always fall on the same side."""
    digest = hashlib.sha256(normalised(query).encode()).digest()
    return int.from_bytes(digest[:4], "big") % PARTS < parts
