"""Writes a router's folder whole or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path


def write(out: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder beside `out` with `fill`, and puts it there when it is whole; what was there stays until then."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, and must be a folder")
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
    """Refuses a folder that has something in it, before any work: --force allows it."""
    if out.is_dir() and any(out.iterdir()) and not force:
        raise ValueError(f"--out {out} is not empty: choose another folder, or give --force to replace it")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
