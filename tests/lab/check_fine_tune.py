"""Runs a part of examples/fine-tune that needs no PyTorch on a test's files, and prints what it finds: PROGRAMS FOLDER PART."""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import folder
import labels
from query_data import read

place = Path(sys.argv[2])


def fault(run) -> str | None:
    try:
        run()
    except (OSError, ValueError) as error:
        return str(error)
    return None


def half(made: Path) -> None:
    (made / "router.json").write_text("half", encoding="utf-8")
    raise OSError("no space left")


def folders_are_replaced_whole_and_only_if_they_may() -> dict[str, str | None]:
    out = place / "router"
    out.mkdir()
    names = {"empty": fault(lambda: folder.replaceable(out, False))}
    (out / "model.onnx").write_text("old", encoding="utf-8")
    (out / "tokenizer.json").write_text("old", encoding="utf-8")
    names["encoder"] = fault(lambda: folder.replaceable(out, True))
    (out / "router.json").write_text("old", encoding="utf-8")
    names["router"] = fault(lambda: folder.replaceable(out, True))
    names["not forced"] = fault(lambda: folder.replaceable(out, False))
    names["file"] = fault(lambda: folder.replaceable(out / "router.json", True))
    names["in a file"] = fault(lambda: folder.replaceable(out / "router.json" / "deep" / "er", False))
    names["new"] = fault(lambda: folder.replaceable(out / "deep" / "er", False))
    assert fault(lambda: folder.write(out, half)) == "no space left"
    assert (out / "router.json").read_text(encoding="utf-8") == "old"
    folder.write(out, lambda made: (made / "model.onnx").write_text("new", encoding="utf-8"))
    assert [file.name for file in out.iterdir()] == ["model.onnx"]
    assert not list(place.glob(".router*")), "nothing is left beside it"
    (out / "thesis.tex").write_text("years", encoding="utf-8")
    names["more"] = fault(lambda: folder.replaceable(out, True))
    return names


match sys.argv[3]:
    case "rows":
        rows = read(place / "graded.jsonl")
        report = {
            "lines": [row.line for row in rows],
            "relaxation": labels.best_relaxation([labels.gaps(row.quality["s"], row.quality["l"]) for row in rows]),
        }
    case "faults":
        report = {file.name: fault(lambda file=file: read(file)) for file in (place / "bad").iterdir()}
    case "folders":
        report = folders_are_replaced_whole_and_only_if_they_may()
print(json.dumps(report))
