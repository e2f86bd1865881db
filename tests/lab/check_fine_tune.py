"""Runs parts of examples/fine-tune that need no PyTorch: prints t* of graded data, and what is said of a bad row."""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import folder
import labels
from query_data import read

graded, bad, out = map(Path, sys.argv[2:5])
rows = read(graded)
relaxation = labels.best_relaxation([labels.gaps(row.quality["s"], row.quality["l"]) for row in rows])
try:
    read(bad)
    fault = None
except ValueError as error:
    fault = str(error)


def half(made: Path) -> None:
    (made / "router.json").write_text("half", encoding="utf-8")
    raise OSError("no space left")


(out / "router.json").write_text("old", encoding="utf-8")
try:
    folder.write(out, half)
except OSError:
    pass
after_failure = (out / "router.json").read_text(encoding="utf-8")
folder.write(out, lambda made: (made / "model.onnx").write_text("new", encoding="utf-8"))
after = sorted(file.name for file in out.iterdir())
print(json.dumps({"relaxation": relaxation, "fault": fault, "after_failure": after_failure, "after": after}))
