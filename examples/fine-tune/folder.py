"""Writes a router's folder whole or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

# What a router's folder is made of; an encoder's is the last two.
PARTS = ("router.json", "model.onnx", "tokenizer.json")


def write(out: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder beside `out` with `fill`, and puts it there when it is whole; what was there stays until then.

    `replaceable` must have allowed it: everything in `out` is removed.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as staging:
        made, before = Path(staging) / "made", Path(staging) / "before"
        made.mkdir()
        fill(made)
        if out.exists():
            out.rename(before)
        try:
            made.rename(out)
        except OSError:
            if before.exists():
                before.rename(out)
            raise


def replaceable(out: Path, force: bool) -> None:
    """Checks, before any work, that `write` can make the folder, by the rule of `hybrid-llm train --out`: what is there must
    be empty, or, with `force`, have nothing but a router or an encoder in it."""
    out = out.resolve()
    around = next((parent for parent in out.parents if parent.exists()), out)
    if not around.is_dir():
        raise ValueError(f"--out {out} cannot be made: {around} is not a folder")
    if not out.exists():
        return
    found = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else [out.name]
    if found and (not force or not out.is_dir()):
        raise ValueError(f"--out {out} exists: choose another folder, or --force to replace the router in it")
    foreign = [name for name in found if name not in PARTS]
    if foreign:
        raise ValueError(
            f"--out {out} is not replaced, even with --force: it has {foreign[0]}, which is no part of a router's folder"
        )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
