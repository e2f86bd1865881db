"""Fine-tunes an encoder on query data into a router folder: router.json, model.onnx, tokenizer.json."""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch

import check
import encoder as encoders
import figures
import folder
import labels
import onnx_export
import targets
from arguments import parser, recipe_of
from encoder import Heads, Served
from query_data import Row, held_out, read, without
from recipe import Recipe
from training import Problem, Settings, Trainer

# What int8 may lower the APGR by: so much, or so many standard errors of the difference on the held-out rows if that is more.
APGR_TOLERANCE = 0.005
STANDARD_ERRORS = 2


def load(recipe: Recipe) -> tuple[list[Row], np.ndarray, list[set[str]]]:
    """The usable rows of all files, the number of each row's file, and what models each file has by its own names.

    Says what was left out and why.
    """
    measured = [row for file in recipe.exclude for row in read(file)]
    pairs = recipe.models()
    rows: list[Row] = []
    file: list[int] = []
    known: list[set[str]] = []
    for index, data in enumerate(recipe.train):
        found = read(data.file)
        known.append({model for row in found for model in row.quality})
        for row in found:
            for name in [n for n in row.quality if n in recipe.same]:
                row.quality[recipe.same[name]] = row.quality.pop(name)
        pair = [r for r in found if targets.pool(r, data.small) and targets.pool(r, data.large)]
        if not pair:
            raise ValueError(
                f"{data.file} has no row with both {data.small} and {data.large}; it has {sorted(known[index])}"
            )
        kept = without(pair, measured)
        for row in kept if recipe.only_pairs else []:
            for name in row.quality.keys() - pairs:
                del row.quality[name]
        print(
            f"{data.name}: {len(kept)} rows; left out: {len(found) - len(pair)} without both tiers, "
            f"{len(pair) - len(kept)} that an excluded file holds"
        )
        rows += kept
        file += [index] * len(kept)
    return rows, np.array(file), known


def write_held_out(out: Path, recipe: Recipe, rows: list[Row], file: np.ndarray, validate: np.ndarray) -> None:
    """Writes a file for each training file, by a name that is not its own: `calibrate` warns of files that were trained on."""
    out.mkdir(parents=True, exist_ok=True)
    # Two entries may be pairs of one file, or files of one name in two folders.
    lines: dict[str, dict[str, None]] = {data.name: {} for data in recipe.train}
    for i in validate:
        lines[recipe.train[file[i]].name][rows[i].line] = None
    for name, found in lines.items():
        (out / f"{name}.held-out.jsonl").write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    print(f"wrote {sum(map(len, lines.values()))} held-out rows to {out}")


def cut(ids: list[int], most: int) -> list[int]:
    """At most so many tokens, the last one kept, as the scorer does it."""
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def export_encoder(args: argparse.Namespace) -> int:
    """The encoder as it came: a folder that `hybrid-llm train --encoder` puts a head on."""
    folder.replaceable(args.out, args.force)
    encoder, tokenizer, _ = encoders.load(args.encoder, 0.0)
    model = onnx_export.export(encoder, [onnx_export.EMBEDDING])
    if args.precision == "int8":
        reference = model
        model = onnx_export.quantize(model)
        ids = [tokenizer.encode(text).ids for text in ("What is 2+2?", "Explain the proof of the prime number theorem.")]
        found = [check.Session(m).all(ids, onnx_export.EMBEDDING, "check") for m in (model, reference)]
        print(f"int8 against fp32, cosine of two queries: {check.cosine(*found).round(4)}")

    def fill(made: Path) -> None:
        onnx.save(model, made / "model.onnx")
        (made / "tokenizer.json").write_text(encoders.tokenizer_json(tokenizer), encoding="utf-8")

    folder.write(args.out, fill)
    print(f"wrote {args.out}: model.onnx {(args.out / 'model.onnx').stat().st_size / 1e6:.1f} MB, tokenizer.json")
    return 0


def train(args: argparse.Namespace) -> int:
    folder.replaceable(args.out, args.force)
    recipe = recipe_of(args)
    rows, file, known = load(recipe)
    is_held_out = np.array([held_out(row.query, args.held_out) for row in rows])
    training, validate = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    if len(training) < 10 or len(validate) < 10:
        raise ValueError(f"{len(training)} rows to train on and {len(validate)} held out: give at least 10 of each")
    goal = targets.build(rows, file, recipe, ~is_held_out, args.label, args.relaxation)
    if args.label == "trans":
        binary = labels.is_binary([q for row in rows for q in row.quality.values()])
        print(f"t* = {goal.relaxation:g}" + (": qualities are 0 or 1, so r_trans is r_prob" if binary else ""))
    encoder, tokenizer, longest = encoders.load(args.encoder, args.dropout)
    if args.max_tokens > longest:
        raise ValueError(f"--max-tokens {args.max_tokens}: this encoder reads at most {longest}")
    ids = [cut(e.ids, args.max_tokens) for e in tokenizer.encode_batch([row.query for row in rows])]
    shortened = [cut(i, args.train_tokens) for i in ids]
    if args.write_held_out:
        write_held_out(args.write_held_out, recipe, rows, file, validate)
    heads = Heads(encoder.size, goal.names, np.array([len(shortened[i]) for i in training]))
    problem = Problem(
        shortened, goal.value, goal.weight, file, [data.take for data in recipe.train], training, validate
    )
    settings = Settings(
        args.epochs, args.lr, args.head_lr, args.layer_decay, args.freeze, args.batch, args.average, args.weight_decay,
        args.head_decay, args.evaluations, args.bf16, args.seed, args.device,
    )  # fmt: skip
    trainer = Trainer(encoder, heads, problem, settings)

    def rank(logits: np.ndarray) -> np.ndarray:
        return logits[:, 0] if goal.mixture is None else goal.mixture.gap(sigmoid(logits))

    def by_file(score: np.ndarray) -> tuple[list[float], float]:
        return figures.apgr_by_file(score, goal.small[validate], goal.large[validate], file[validate], len(recipe.train))

    choose_by = args.choose_by
    if choose_by == "apgr" and math.isnan(by_file(np.zeros(len(validate)))[1]):
        print(
            "no file's held-out rows have an APGR, as the large model is not better there: "
            "checkpoints are chosen by the loss; check which model is the small one"
        )
        choose_by = "loss"

    def evaluate(title: str) -> float:
        logits = trainer.predict(validate)
        values, mean = by_file(rank(logits))
        loss = trainer.loss_of(logits, validate)
        listed = ", ".join(f"{data.name} {value:.3f}" for data, value in zip(recipe.train, values))
        print(f"{title}: loss {loss:.4f}, APGR {mean:.4f} ({listed})", flush=True)
        return -loss if choose_by == "loss" else mean

    runs = []
    for seed in range(args.seed, args.seed + args.runs):
        trainer.restart(seed)
        if args.epochs == 0 or not args.fresh_heads:
            trainer.fit_heads()
        if args.epochs > 0:
            print(f"seed {seed}: kept {trainer.fine_tune(evaluate, args.fresh_heads)}", flush=True)
        else:
            evaluate("frozen encoder")
        runs.append(trainer.state())
    if len(runs) > 1:
        trainer.average(runs)
        evaluate(f"mean of {len(runs)} runs")

    logits = trainer.predict(validate)
    if not np.isfinite(logits).all():
        raise ValueError("the weights are out of range: give more data, or another --head-decay or --lr")
    encoder, heads = encoder.cpu(), heads.cpu()
    slope, length_slope, offset = 1.0, 0.0, 0.0
    if goal.mixture is not None or args.length_prior > 0:
        ranking = rank(logits)
        spread = max(float(ranking.std()), 1e-9)
        with torch.no_grad():
            length = heads.length(torch.tensor(trainer.lengths[validate])).double().numpy()[:, 0]
        steep, offset = figures.platt(ranking / spread - args.length_prior * length, goal.good[validate])
        slope, length_slope = steep / spread, -steep * args.length_prior
    served = Served(encoder, heads, goal.mixture, slope, length_slope, offset)
    reference = onnx_export.export(served, [onnx_export.LOGITS, onnx_export.EMBEDDING])
    model = onnx_export.quantize(reference) if args.precision == "int8" else reference

    def error(one: np.ndarray, other: np.ndarray) -> float:
        return figures.error_of_difference(
            one, other, goal.small[validate], goal.large[validate], file[validate], len(recipe.train)
        )

    if not compare(model, reference, [ids[i] for i in validate], by_file, error, args):
        model = reference

    manifest = {
        "name": args.name,
        "version": args.version,
        "encoder": f"{Path(args.encoder).name}, {'fine-tuned' if args.epochs > 0 else 'frozen'}",
        "max_tokens": args.max_tokens,
        "output": "sigmoid",
        "label": args.label,
        "relaxation": goal.relaxation,
        "small": "+".join(recipe.train[0].small),
        "large": "+".join(recipe.train[0].large),
        "trained_on": [
            {
                "source": data.source or data.name,
                "file": data.file.name,
                "rows": int((file[training] == index).sum()),
                "held_out": int((file[validate] == index).sum()),
                "small": "+".join(recipe.called(data.small, known[index])),
                "large": "+".join(recipe.called(data.large, known[index])),
                "licence": data.licence,
            }
            for index, data in enumerate(recipe.train)
        ],
    }

    def fill(made: Path) -> None:
        onnx.save(onnx_export.serve_logits_only(model), made / "model.onnx")
        (made / "tokenizer.json").write_text(encoders.tokenizer_json(tokenizer), encoding="utf-8")
        manifest["sha256"] = {name: folder.sha256(made / name) for name in ("model.onnx", "tokenizer.json")}
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (made / "router.json").write_text(text, encoding="utf-8")

    folder.write(args.out, fill)
    print(f"wrote {args.out}; next: hybrid-llm calibrate, with data that was not trained on")
    return 0


def compare(
    model: onnx.ModelProto,
    reference: onnx.ModelProto,
    ids: list[list[int]],
    by_file: Callable[[np.ndarray], tuple[list[float], float]],
    error: Callable[[np.ndarray, np.ndarray], float],
    args: argparse.Namespace,
) -> bool:
    """Prints the served graph's figures beside fp32's; whether it keeps them."""
    sessions = {args.precision: check.Session(model), "fp32": check.Session(reference)}
    scores, embeddings, means = {}, {}, {}
    for name, session in sessions.items():
        scores[name] = sigmoid(session.all(ids, onnx_export.LOGITS, f"{name} scores")[:, 0])
        embeddings[name] = session.all(ids[:300], onnx_export.EMBEDDING, f"{name} embeddings")
        values, means[name] = by_file(scores[name])
        print(f"{name}: APGR {means[name]:.4f} ({', '.join(f'{v:.3f}' for v in values)}) on the held-out rows, one a call")
        graph = {args.precision: model, "fp32": reference}[name]
        print(check.speed_line(name, session, onnx_export.LOGITS, graph.ByteSize(), args.max_tokens))
    if args.precision == "fp32":
        return True
    similar = check.cosine(embeddings["int8"], embeddings["fp32"])
    drift = check.Drift(similar.mean(), similar.min(), float(np.corrcoef(scores["int8"], scores["fp32"])[0, 1]))
    if math.isnan(means["fp32"]):
        keeps = bool(np.isfinite(scores["int8"]).all())
        verdict = "judge it by these" if keeps else "int8 scores are no numbers: writing fp32 instead"
        print(f"{drift}; there is no APGR to hold int8 to: {verdict}")
        return keeps
    difference = means["int8"] - means["fp32"]
    # On few rows a figure jumps by more than the tolerance where two scores change places.
    chance = STANDARD_ERRORS * error(scores["int8"], scores["fp32"])
    keeps = difference >= -max(APGR_TOLERANCE, chance)
    verdict = "int8 keeps the figures" if keeps else "int8 does NOT keep the figures: writing fp32 instead"
    print(f"{drift}; APGR {difference:+.4f} (by chance ±{chance:.4f}) against fp32: {verdict}")
    return keeps


def main() -> int:
    args = parser(__doc__).parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        return export_encoder(args) if args.command == "export-encoder" else train(args)
    except (OSError, ValueError) as error:
        print(f"finetune.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
