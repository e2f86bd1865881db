"""Runs a part of examples/fine-tune that needs no PyTorch on a test's files, and prints what it finds: PROGRAMS FOLDER PART."""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import labels
from query_data import read

place = Path(sys.argv[2])


def fault(run) -> str | None:
    try:
        run()
    except (OSError, ValueError) as error:
        return str(error)
    return None


match sys.argv[3]:
    case "rows":
        rows = read(place / "graded.jsonl")
        report = {
            "lines": [row.line for row in rows],
            "relaxation": labels.best_relaxation([labels.gaps(row.quality["s"], row.quality["l"]) for row in rows]),
        }
    case "faults":
        report = {file.name: fault(lambda file=file: read(file)) for file in (place / "bad").iterdir()}
print(json.dumps(report))
