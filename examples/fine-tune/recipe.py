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
    # For the label gap: how much this file counts as an expert on queries like its own.
    rank: float = 1.0

    @property
    def name(self) -> str:
        return self.file.name.removesuffix(".jsonl")


@dataclass(frozen=True)
class Recipe:
    """The files, those whose queries are never trained on, and models that go by several names."""

    train: list[DataFile]
    exclude: list[Path] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)
    # Learn the qualities of the pairs' models alone, and not those of every model in the data.
    only_pairs: bool = False

    def called(self, tier: list[str], models: set[str]) -> list[str]:
        """What a file whose models are these calls the models of a tier."""
        return sorted(model for model in models if self.same.get(model, model) in tier)

    def models(self) -> set[str]:
        """The models of all pairs."""
        return {model for data in self.train for model in (*data.small, *data.large)}


def parse(path: Path) -> Recipe:
    """Raises ValueError that names the entry and the key at fault."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    unknown = set(table) - {"train", "exclude", "same", "only_pairs"}
    if unknown:
        raise ValueError(f"{path}: unknown key {sorted(unknown)[0]!r}; there are train, exclude, same and only_pairs")
    entries = table.get("train", [])
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: give at least one [[train]] with file, small and large")
    train = [_entry(entry, f"{path}: [[train]] number {number}") for number, entry in enumerate(entries, 1)]
    exclude = [existing(Path(file), f"{path}: exclude") for file in table.get("exclude", [])]
    same = {str(k): str(v) for k, v in table.get("same", {}).items()}
    only_pairs = table.get("only_pairs", False)
    if not isinstance(only_pairs, bool):
        raise ValueError(f"{path}: 'only_pairs' must be true or false, not {only_pairs!r}")
    return Recipe(train, exclude, same, only_pairs)


def _entry(entry: dict[str, Any], where: str) -> DataFile:
    known = {f.name for f in fields(DataFile)}
    for key in entry:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; there are {', '.join(sorted(known))}")
    for key in ("file", "small", "large"):
        if key not in entry:
            raise ValueError(f"{where}: {key!r} is missing")
    values = dict(entry)
    for key in ("small", "large"):
        models = [values[key]] if isinstance(values[key], str) else values[key]
        if not isinstance(models, list) or not models or not all(isinstance(m, str) and m for m in models):
            raise ValueError(f"{where}: {key!r} must name a model or a list of them, not {values[key]!r}")
        values[key] = models
    for key in ("weight", "take", "smooth", "rank"):
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
