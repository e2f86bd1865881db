"""Runs a part of examples/fine-tune that needs no PyTorch on a test's files, and prints what it finds: PROGRAMS FOLDER PART."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import figures
import folder
import labels
import numpy as np
import targets
from query_data import held_out, read
from recipe import DataFile, Recipe

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

    # The score of a ranking is about the part of the rankings below it; in any unit, with ties, and with far outliers.
    random = np.random.default_rng(0)
    rank = random.logistic(size=501)
    part = (np.argsort(np.argsort(rank)) + 0.5) / 501
    for unit, centre in ((1.0, 0.0), (1e-6, 0.0), (1e6, -5e7)):
        slope, offset = figures.to_quantile(rank * unit + centre)
        score = 1 / (1 + np.exp(-(slope * (rank * unit + centre) + offset)))
        assert slope > 0 and abs(score.mean() - 0.5) < 1e-5 and np.abs(score - part).max() < 0.05, (unit, slope, offset)
    far = np.sign(random.normal(size=100)) * np.exp(5 * random.normal(size=100))
    slope, offset = figures.to_quantile(far)
    assert abs((1 / (1 + np.exp(-(slope * far + offset)))).mean() - 0.5) < 1e-5, (slope, offset)
    slope, offset = figures.to_quantile(np.array([0.0, 0.0, 0.0, 1.0]))
    assert abs(1 / (1 + np.exp(-offset)) - 0.375) < 1e-5, "half of those that rank alike count as lower"
    message = fault(lambda: figures.to_quantile(np.full(501, 0.3)))
    assert message and "all held-out queries rank alike" in message, message


def labels_are_centred_by_file() -> None:
    """Of two files, one with ratings and one with coins, a gap says how far it lies above its own file's training rows."""
    lines = [{"query": f"rated {n}", "quality": {"s": 0.8 - n / 100, "l": 0.9}, "pair": n // 2} for n in range(40)]
    coins = [{"query": f"coin {n}", "source": f"{n % 2}", "quality": {"s": int(n % 4 > 1), "l": 1}} for n in range(40)]
    for name, found in (("rated", lines), ("coins", coins)):
        (place / f"{name}.jsonl").write_text("\n".join(map(json.dumps, found)), encoding="utf-8")
    rated = DataFile(place / "rated.jsonl", ["s"], ["l"], group="pair")
    thrown = DataFile(place / "coins.jsonl", ["s"], ["l"], spread=0.1)
    rows = [*read(rated.file, rated.group), *read(thrown.file)]
    file = np.repeat([0, 1], 40)
    is_held_out = np.array(held_out(rows, 5))
    pairs = is_held_out[:40].reshape(20, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all() and 0 < pairs[:, 0].sum() < 20, "a group stands on one side"
    known = ~is_held_out

    def label(*data: DataFile) -> np.ndarray:
        return targets.build(rows, file, Recipe([*data]), known, "gap", None).value.astype(float)

    value = label(rated, thrown)
    for index, spread in ((0, 0.2), (1, 0.1)):
        of_file = value[known & (file == index)]
        assert abs(of_file.mean() - 0.5) < 1e-6 and abs(of_file.std() - spread) < 1e-6, (index, of_file)
    assert (np.diff(value[:40]) < 0).all(), "the small model is worse on every query, and yet they are ranked"
    ranked = label(replace(rated, rank=True), thrown)
    assert (np.diff(ranked[:40]) <= 0).all() and abs(ranked[known & (file == 0)].std() - 0.2) < 1e-6
    # Drawn whole to the mean of their source, labels differ by the source alone; half of each source's coins are heads.
    drawn = label(rated, replace(thrown, smooth=1.0))[40:]
    assert np.ptp(drawn[::2]) < 1e-6 and np.ptp(drawn[1::2]) < 1e-6 and np.ptp(drawn) < 0.05, drawn
    for row in rows[40:]:
        row.quality["s"] = [0.5]
    message = fault(lambda: label(rated, thrown))
    assert message and "the gap between ['s'] and ['l'] is the same in all training rows" in message, message


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
        labels_are_centred_by_file()
        report = [apgr("s", "l"), apgr("l", "s")]
    case "folders":
        report = folders_are_replaced_whole_and_only_if_they_may()
print(json.dumps(report))
