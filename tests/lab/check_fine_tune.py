"""Runs a part of examples/fine-tune that needs no PyTorch on a test's files, and prints what it finds: PROGRAMS FOLDER PART."""

import json
import math
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import figures
import folder
import labels
import numpy as np
from query_data import read

place = Path(sys.argv[2])


def fault(run) -> str | None:
    try:
        run()
    except (OSError, ValueError) as error:
        return str(error)
    return None


def apgr(small: str, large: str) -> float | None:
    """Of the scores that the test has from `hybrid-llm score`."""
    rows = read(place / "graded.jsonl")
    scores = [json.loads(line)["score"] for line in (place / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    tiers = [np.array([np.mean(row.quality[model]) for row in rows]) for model in (small, large)]
    value = figures.apgr(np.array(scores), *tiers)
    return None if math.isnan(value) else value


def figures_are_as_they_must_be() -> None:
    """What `hybrid-llm evaluate` cannot show: scores without a value, means over files, choices, the logistic map."""
    nan = math.nan
    # A perfect order of ten, by hand: at a call's share of .1, .2 … the gap is recovered twice as fast, and all at a half.
    score, large = np.arange(10.0), np.ones(10)
    small = (score >= 5).astype(float)
    points = [min(2 * share / 10, 1) for share in range(11)]
    by_hand = sum((a + b) / 2 / 10 for a, b in zip(points, points[1:]))
    assert abs(figures.apgr(score, small, large) - by_hand) < 1e-12, by_hand
    assert abs(figures.apgr(np.zeros(10), small, large) - 0.5) < 1e-12, "a constant score is random"
    assert math.isnan(figures.apgr(np.where(score == 3, nan, score), small, large)), "a score without a value"
    thirds = np.array([0.1, 0.2, 0.3])
    assert thirds.mean() > thirds[::-1].mean() and math.isnan(figures.apgr(thirds, thirds[::-1], thirds)), "last bits"

    # Two files, the second with its models the wrong way round, the third without rows.
    file = np.repeat([0, 1], 10)
    both = [np.tile(score, 2), np.concatenate([small, large]), np.concatenate([large, small])]
    values, mean = figures.apgr_by_file(*both, file, 3)
    assert mean == values[0] and math.isnan(values[1]) and math.isnan(values[2]), values
    assert math.isnan(figures.apgr_by_file(score, large, small, np.zeros(10, int), 1)[1])

    better = figures.better
    assert better(0.6, 0.5) and not better(0.5, 0.5) and not better(0.4, 0.5)
    assert better(0.4, nan) and not better(nan, 0.4) and not better(nan, nan) and not better(nan, -math.inf)

    # At the best slope and offset the mean error is nothing, and no error goes with the ranking; in any unit of it.
    random = np.random.default_rng(0)
    rank = np.append(random.normal(size=500), 40.0)
    label = (rank + random.normal(size=501) > 0.3).astype(np.float32)
    for unit, centre in ((1.0, 0.0), (1e-6, 0.0), (1e6, -5e7)):
        slope, offset = figures.platt(rank * unit + centre, label)
        error = 1 / (1 + np.exp(-(slope * (rank * unit + centre) + offset))) - label
        assert slope > 0 and abs(error.mean()) < 1e-5 and abs((error * rank).mean()) < 1e-4, (unit, slope, offset)
    # Far outliers and two labels of a hundred, where Newton's steps lead away unless they are shortened.
    random = np.random.default_rng(331)
    far = np.sign(random.normal(size=100)) * np.exp(5 * random.normal(size=100))
    few = np.isin(np.arange(100), (66, 87)).astype(np.float32)
    slope, offset = figures.platt(far, few)
    assert abs((1 / (1 + np.exp(-(slope * far + offset)))).mean() - 0.02) < 1e-5, (slope, offset)
    slope, offset = figures.platt(score, small.astype(np.float32))
    assert 0 < slope < 1e6 and abs(slope * 4.5 + offset) < 0.1 * slope, "a threshold between 4 and 5"
    for worthless in (-rank, np.full(501, 0.3)):
        message = fault(lambda: figures.platt(worthless, label))
        assert message and "check which model is the small one" in message, message


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
    case "figures":
        figures_are_as_they_must_be()
        report = [apgr("s", "l"), apgr("l", "s")]
    case "folders":
        report = folders_are_replaced_whole_and_only_if_they_may()
print(json.dumps(report))
