"""Which files are trained on, between which models, and with what weight: from a TOML recipe or from arguments."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataFile:
    """One file of query data and how it is used."""

    file: Path
    # The tiers. Several models make a pool: each one's responses are samples of the tier.
    small: list[str]
    large: list[str]
    licence: str = "not stated"
    source: str = ""
    # How much a row counts in the loss, and how many times (or, below 1, how large a part) an epoch sees of the file.
    weight: float = 1.0
    take: float = 1.0
    # From 0 to 1: how far a label is drawn from its own few responses to the mean over the rows of the same "source".
    smooth: float = 0.0
    # For the label gap: the standard deviation of the file's labels, before `smooth`.
    spread: float = 0.2
    # For the label gap: learn a gap's rank among the file's, not the gap itself, so that a few large ones do not count most.
    rank: bool = False
    # Only rows of these values of "source", or of one that begins with one of them and a slash; none: all rows.
    sources: list[str] = field(default_factory=list)
    # The key of a row that names its group, such as a pair of prompts: a group is held out as a whole.
    group: str = ""

    @property
    def name(self) -> str:
        return self.file.name.removesuffix(".jsonl")

    def holds(self, source: str) -> bool:
        """Whether the entry takes rows of this source."""
        return not self.sources or any(source == s or source.startswith(f"{s}/") for s in self.sources)


@dataclass(frozen=True)
class Recipe:
    """The files, and those whose queries are never used. The first file names the router's pair and scales its score."""

    train: list[DataFile]
    exclude: list[Path] = field(default_factory=list)
    # Above this cosine of the untrained encoder's embeddings, a query counts as one of an excluded file's.
    near: float = 1.0


def parse(path: Path) -> Recipe:
    """Raises ValueError that names the entry and the key at fault."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    unknown = set(table) - {"train", "exclude", "near"}
    if unknown:
        raise ValueError(f"{path}: unknown key {sorted(unknown)[0]!r}; there are train, exclude and near")
    entries = table.get("train", [])
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: give at least one [[train]] with file, small and large")
    train = [_entry(entry, f"{path}: [[train]] number {number}") for number, entry in enumerate(entries, 1)]
    exclude = [existing(Path(file), f"{path}: exclude") for file in table.get("exclude", [])]
    return Recipe(train, exclude, _number(table, "near", Recipe.near, str(path)))


def _entry(entry: dict[str, Any], where: str) -> DataFile:
    known = {f.name for f in fields(DataFile)}
    for key in entry:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; there are {', '.join(sorted(known))}")
    for key in ("file", "small", "large"):
        if key not in entry:
            raise ValueError(f"{where}: {key!r} is missing")
    values = dict(entry)
    for key in ("small", "large", "sources"):
        if key not in values:
            continue
        names = [values[key]] if isinstance(values[key], str) else values[key]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"{where}: {key!r} must be a name or a list of names, not {values[key]!r}")
        values[key] = names
    for key in ("licence", "source", "group"):
        if not isinstance(values.get(key, ""), str):
            raise ValueError(f"{where}: {key!r} must be text, not {values[key]!r}")
    if not isinstance(values.get("rank", False), bool):
        raise ValueError(f"{where}: 'rank' must be true or false, not {values['rank']!r}")
    for key in ("weight", "take", "smooth", "spread"):
        values[key] = _number(values, key, getattr(DataFile, key), where)
    if values["smooth"] > 1:
        raise ValueError(f"{where}: 'smooth' must be from 0 to 1, not {values['smooth']!r}")
    values["file"] = existing(Path(values["file"]), where)
    return DataFile(**values)


def _number(table: dict[str, Any], key: str, default: float, where: str) -> float:
    value = table.get(key, default)
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError(f"{where}: {key!r} must be a number from 0 on, not {value!r}")
    return float(value)


def existing(file: Path, where: str) -> Path:
    if not file.is_file():
        raise ValueError(f"{where}: {file} is not a file: check the path, which is relative to the current folder")
    return file
