"""Reads query data, cuts it into folds and keeps measured queries out of training."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPEC_FORM = "FILE:SMALL:LARGE[:LICENCE[:SOURCE]]"


@dataclass(frozen=True)
class Spec:
    """One `--train` or `--test` argument: a file and the pair of models whose qualities are read from it."""

    file: Path
    small: str
    large: str
    licence: str
    source: str

    @property
    def name(self) -> str:
        """The file's name without its ending: what figures are printed under."""
        return self.file.name.removesuffix(".jsonl")


@dataclass(frozen=True)
class Rows:
    """The rows of one file. Qualities are means over the sampled responses, `label` is of the first response alone."""

    spec: Spec
    queries: list[str]
    small: np.ndarray
    large: np.ndarray
    label: np.ndarray
    skipped: int

    def __len__(self) -> int:
        return len(self.queries)

    def keep(self, chosen: np.ndarray) -> Rows:
        queries = [q for q, c in zip(self.queries, chosen) if c]
        return Rows(self.spec, queries, self.small[chosen], self.large[chosen], self.label[chosen], self.skipped)


def parse_spec(text: str) -> Spec:
    """Raises ValueError that says which part is missing; argparse shows it to the user."""
    parts = text.split(":")
    if not 3 <= len(parts) <= 5 or not all(parts):
        raise ValueError(f"{text!r} is not {SPEC_FORM}: give the file, the small and the large model, parted by colons")
    file = Path(parts[0])
    if not file.is_file():
        raise ValueError(f"{file} is not a file: check the path, which is relative to the current folder")
    licence = parts[3] if len(parts) > 3 else "not stated"
    source = parts[4] if len(parts) > 4 else file.name.removesuffix(".jsonl")
    return Spec(file, parts[1], parts[2], licence, source)


def read(spec: Spec) -> Rows:
    """Rows that lack one of the two models are skipped and counted; anything malformed is an error with its line."""
    queries: list[str] = []
    small: list[float] = []
    large: list[float] = []
    label: list[float] = []
    skipped = 0
    models: set[str] = set()
    with spec.file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                query, quality = row["query"], row["quality"]
                s, l = quality.get(spec.small), quality.get(spec.large)
                models.update(quality)
                if not s or not l:
                    skipped += 1
                    continue
                values = float(np.mean(s)), float(np.mean(l)), float(s[0] >= l[0])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f'{spec.file} line {number}: {error!r}; each line must be {{"id", "source", "query", '
                    f'"quality": {{"MODEL": [q, ...]}}}}'
                ) from error
            queries.append(query)
            small.append(values[0])
            large.append(values[1])
            label.append(values[2])
    if not queries:
        raise ValueError(f"{spec.file} has no row with both {spec.small!r} and {spec.large!r}; it has {sorted(models)}")
    return Rows(spec, queries, np.array(small), np.array(large), np.array(label), skipped)


def normalised(query: str) -> str:
    """Case, spaces and punctuation aside, what makes two queries the same."""
    return re.sub(r"[\W_]+", " ", query.lower()).strip()


def without_measured(train: Rows, test: list[Rows]) -> Rows:
    """The training rows whose query is in no test file: a benchmark may hold one question under two ids."""
    measured = {normalised(q) for rows in test for q in rows.queries}
    return train.keep(np.array([normalised(q) not in measured for q in train.queries]))


def folds(queries: list[str], count: int) -> np.ndarray:
    """A fold for each query from a hash of its text, so that the same query never stands on both sides."""
    digests = (hashlib.sha256(normalised(q).encode()).digest() for q in queries)
    return np.array([int.from_bytes(d[:4], "big") % count for d in digests])
