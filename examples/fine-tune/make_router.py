"""Makes a router folder (router.json, model.onnx, tokenizer.json) from files of query data."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import calibration
import figures
import head
from embed import Encoder
from encoder_graph import EMBEDDING, LOGITS, build, encoder_folder, load_weights, quantize, tokenizer_json, with_head
from query_data import SPEC_FORM, Rows, Spec, parse_spec, read, without_measured

LONGEST = 512  # positions the encoder knows


def _spec(text: str) -> Spec:
    try:
        return parse_spec(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _limit(text: str) -> int:
    if not text.isdigit() or not 8 <= int(text) <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens from 8 to {LONGEST}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        fromfile_prefix_chars="@",
        epilog="@FILE reads arguments from a file, one a line: make_router.py @default.args --out routers/default",
    )
    parser.add_argument(
        "--train", action="append", type=_spec, required=True, metavar=SPEC_FORM,
        help="query data to train on, and the pair whose qualities make the labels; repeat it for more files. "
        "The first one's pair is the pair named in router.json",
    )
    parser.add_argument(
        "--test", action="append", type=_spec, default=[], metavar=SPEC_FORM,
        help="query data to measure on, when everything is chosen; rows of --train with the same query are dropped",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the router folder; made if missing")
    parser.add_argument("--name", default="default", help="the router's name (default: %(default)s)")
    parser.add_argument("--version", default="1", help="the router's version (default: %(default)s)")
    parser.add_argument(
        "--max-tokens", type=_limit, nargs="+", default=[128, 256, 512], metavar="N",
        help="token limits to try; the smallest that is no worse than the best is taken (default: 128 256 512)",
    )
    parser.add_argument(
        "--calibration-rows", type=_count, default=1600, metavar="N",
        help="at most so many rows of each file calibrate, so that no large file dominates (default: %(default)s)",
    )
    parser.add_argument("--draws", type=_count, default=1000, help="bootstrap draws (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of every random draw (default: %(default)s)")
    return parser


def load(args: argparse.Namespace) -> tuple[list[Rows], list[Rows]]:
    test = [read(spec) for spec in args.test]
    train = []
    for spec in args.train:
        rows = read(spec)
        kept = without_measured(rows, test)
        print(
            f"{spec.name}: {len(kept):,} rows, {spec.small} -> {spec.large}; small is good enough for "
            f"{kept.label.mean():.1%}; left out: {rows.skipped} without both models, "
            f"{len(rows) - len(kept)} that a test file holds"
        )
        train.append(kept)
    return train, test


def calibration_rows(p: head.Problem, most: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picks = [np.flatnonzero(p.source == i) for i in range(len(p.sources))]
    return np.concatenate([np.sort(rng.permutation(rows)[:most]) for rows in picks])


def scale_check(p: head.Problem, held_out: np.ndarray, final: np.ndarray) -> None:
    """Prints whether the table, made of held-out scores, is on the scale of the head that ships."""
    at = (0.05, 0.25, 0.5, 0.75, 0.95)
    for name, score in (("held-out", held_out), ("final head, training rows", final)):
        quantiles = " ".join(f"{q:.3f}" for q in np.quantile(score, at))
        print(f"scores, {name}: mean {score.mean():.3f}, quantiles {at}: {quantiles}")
    bins = np.clip((held_out * 10).astype(int), 0, 9)
    error = sum(abs((p.label[bins == b] - held_out[bins == b]).sum()) for b in range(10)) / len(held_out)
    print(f"held-out score as a probability: expected calibration error {error:.3f}, mean label {p.label.mean():.3f}")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    args = arguments().parse_args()
    try:
        train, test = load(args)
        folder = encoder_folder()
        weights = load_weights(folder)
    except (OSError, ValueError) as error:
        print(f"make_router.py: {error}", file=sys.stderr)
        return 1
    tokenizer = tokenizer_json(folder)

    with tempfile.TemporaryDirectory() as scratch:
        encoder_model = quantize(build(weights, int8_embeddings=True), Path(scratch))
    encoder = Encoder(encoder_model, tokenizer, EMBEDDING)
    reference = Encoder(build(weights, int8_embeddings=False), tokenizer, EMBEDDING)
    problem = head.Problem(train)
    sample = problem.queries[:: max(1, len(problem.queries) // 200)]
    cosine = [float(np.dot(encoder.run(q, 128), reference.run(q, 128))) for q in sample]
    print(f"int8 against fp32, cosine over {len(sample)} queries: mean {np.mean(cosine):.4f}, lowest {min(cosine):.4f}")

    embeddings = encoder.at_limits(problem.queries, args.max_tokens)
    choice = head.choose(problem, embeddings, args.draws, args.seed)
    for setting, value in choice.tried:
        mark = "  <- chosen" if setting == choice.setting else ""
        print(
            f"max_tokens {setting.max_tokens}, C {setting.strength:g}, row-weight power {setting.power:g}: "
            f"held-out APGR {value:.4f}{mark}"
        )
    limit = choice.setting.max_tokens
    every = np.arange(len(problem.label))
    weight, bias = head.fit(problem, embeddings[limit], every, choice.setting.strength, choice.setting.power)
    scale_check(problem, choice.held_out, head.sigmoid(embeddings[limit] @ weight + bias))

    picks = calibration_rows(problem, args.calibration_rows, args.seed)
    score, small, large = choice.held_out[picks], problem.small[picks], problem.large[picks]
    metrics = {}
    for i, rows in enumerate(train):
        held_out = choice.held_out[problem.source == i]
        title = f"validation/{rows.spec.name}"
        metrics[title] = figures.report(title, held_out, rows.queries, rows.small, rows.large, args.draws, args.seed)

    args.out.mkdir(parents=True, exist_ok=True)
    served = with_head(encoder_model, weight, bias)
    (args.out / "model.onnx").write_bytes(served.SerializeToString(deterministic=True))
    (args.out / "tokenizer.json").write_text(tokenizer, encoding="utf-8")

    # From here on nothing is chosen any more: the test files are scored with the very model that was written.
    router = Encoder(served, tokenizer, LOGITS)
    for rows in test:
        title = f"test/{rows.spec.name}"
        logits = router.all(rows.queries, limit, f"score {rows.spec.name}")[:, 0]
        metrics[title] = figures.report(
            title, head.sigmoid(logits.astype(float)), rows.queries, rows.small, rows.large, args.draws, args.seed
        )

    manifest = {
        "name": args.name,
        "version": args.version,
        "encoder": "all-MiniLM-L6-v2",
        "max_tokens": limit,
        "output": "sigmoid",
        "label": "det",
        "relaxation": None,
        "small": train[0].spec.small,
        "large": train[0].spec.large,
        "trained_on": [
            {
                "source": rows.spec.source,
                "rows": len(rows),
                "small": rows.spec.small,
                "large": rows.spec.large,
                "licence": rows.spec.licence,
            }
            for rows in train
        ],
        "metrics": metrics,
        "calibration": calibration.table(score, small, large, args.draws, args.seed),
        "reference_histogram": calibration.histogram(score),
        "sha256": {name: sha256(args.out / name) for name in ("model.onnx", "tokenizer.json")},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (args.out / "router.json").write_text(text, encoding="utf-8")
    print(figures.table(metrics))
    size = (args.out / "model.onnx").stat().st_size / 1e6
    print(f"wrote {args.out}: model.onnx {size:.1f} MB, sha256 {manifest['sha256']['model.onnx']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
