"""Reads query data, tells held-out queries from training ones and keeps measured queries out of both."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROW_FORM = '{"id": "…", "source": "…", "query": "…", "quality": {"MODEL": [q, …]}}'
# The longest line in bytes, and the largest quality, as in `hybrid-llm`: what is beyond them is a mistake.
MAX_LINE = 4 << 20
MAX_QUALITY = 1e100
# A query belongs to one of so many parts, by a hash of its text; the first ones are held out.
PARTS = 20


@dataclass(frozen=True)
class Row:
    """One query with the sampled qualities of every model that answered it."""

    query: str
    source: str
    quality: dict[str, list[float]]
    line: str
    # What decides on which side of the held-out split the row stands: the query, or the group that it is of.
    split_by: str


def read(file: Path, group: str = "") -> list[Row]:
    """Every row of one file; rows with the same value of the key `group` are split as one.

    Raises ValueError that names the file and the line of the first bad row.
    """
    rows: list[Row] = []
    with file.open("rb") as content:
        lines = iter(lambda: content.readline(MAX_LINE + 1), b"")
        for number, line in enumerate(lines, 1):
            try:
                if len(line) > MAX_LINE:
                    raise ValueError(f"it is longer than {MAX_LINE >> 20} MiB")
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)  # some editors write one
                if line.strip():
                    rows.append(_row(line, group))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file} line {number}: {error}; each line must be {ROW_FORM}") from error
    if not rows:
        raise ValueError(f"{file} has no rows; each line must be {ROW_FORM}")
    return rows


def _row(line: bytes, group: str) -> Row:
    """Raises ValueError that quotes nothing of the line."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"its byte {error.start + 1} is not UTF-8") from None
    row = json.loads(text, parse_constant=_no_constant)
    query = row.get("query") if isinstance(row, dict) else None
    if not isinstance(query, str) or not query.strip():
        raise ValueError('there is no "query" with text in it')
    if any("\ud800" <= character <= "\udfff" for character in query):
        raise ValueError('"query" has half of a character, a lone surrogate')
    quality = row.get("quality")
    if not isinstance(quality, dict):
        raise ValueError('"quality" is not an object of models')
    answered = {model: _samples(model, samples) for model, samples in quality.items() if samples != []}
    split_by = f"{group} {row[group]}" if row.get(group) is not None else query
    return Row(query, str(row.get("source", "")), answered, text.rstrip("\r\n"), split_by)


def _samples(model: str, samples: Any) -> list[float]:
    """One response's quality may stand without brackets."""
    samples = samples if isinstance(samples, list) else [samples]
    if not all(type(q) in (int, float) for q in samples):
        raise ValueError(f"the quality of {model!r} is not a number or a list of numbers")
    if not all(abs(q) <= MAX_QUALITY for q in samples):
        raise ValueError(f"the quality of {model!r} is beyond {MAX_QUALITY:g}")
    return [float(q) for q in samples]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def normalised(query: str) -> str:
    """Case, spaces and punctuation aside, what makes two queries the same."""
    return re.sub(r"[\W_]+", " ", query.lower()).strip()


def without(rows: list[Row], measured: Iterable[Row]) -> list[Row]:
    """The rows whose query is not among the measured: a benchmark may hold one question under two ids."""
    queries = {normalised(row.query) for row in measured}
    return [row for row in rows if normalised(row.query) not in queries]


def held_out(rows: list[Row], parts: int) -> list[bool]:
    """Which rows are among the first `parts` of 20. A text that is held out with one row is held out with every row."""
    texts = {normalised(row.query) for row in rows if _part(row.split_by) < parts}
    return [normalised(row.query) in texts for row in rows]


def _part(text: str) -> int:
    digest = hashlib.sha256(normalised(text).encode()).digest()
    return int.from_bytes(digest[:4], "big") % PARTS
