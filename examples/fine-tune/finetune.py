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
from encoder import Embed, Head, Served, embed_all
from query_data import Row, held_out, read, without
from recipe import Recipe
from training import Problem, Settings, Trainer

# What int8 may lower the APGR by: so much, or so many standard errors of the difference on the held-out rows if that is more.
APGR_TOLERANCE = 0.005
STANDARD_ERRORS = 2


def load(recipe: Recipe, measured: list[Row]) -> tuple[list[Row], np.ndarray]:
    """The usable rows of all files but those with a measured query, and the number of each row's file.

    Says what was left out and why.
    """
    rows: list[Row] = []
    file: list[int] = []
    for index, data in enumerate(recipe.train):
        found = [row for row in read(data.file, data.group) if data.holds(row.source)]
        pair = [r for r in found if targets.pool(r, data.small) and targets.pool(r, data.large)]
        if not pair:
            models = sorted({model for row in found for model in row.quality})
            raise ValueError(f"{data.file} has no row with both {data.small} and {data.large}; it has {models}")
        kept = without(pair, measured)
        print(
            f"{data.name}: {len(kept)} rows; left out: {len(found) - len(pair)} without both tiers, "
            f"{len(pair) - len(kept)} that an excluded file holds"
        )
        rows += kept
        file += [index] * len(kept)
    return rows, np.array(file)


def near(recipe: Recipe, rows: list[Row], file: np.ndarray, measured: list[Row], embed: Embed) -> np.ndarray:
    """Which rows say nearly what an excluded file's query says, by the cosine of the untrained encoder's embeddings."""
    found = np.zeros(len(rows), dtype=bool)
    if recipe.near >= 1 or not measured:
        return found
    theirs = embed([row.query for row in measured], "excluded files").T
    ours = embed([row.query for row in rows], "near duplicates")
    for start in range(0, len(rows), 1024):
        part = slice(start, start + 1024)
        found[part] = ((ours[part] @ theirs).max(dim=1).values > recipe.near).numpy()
    counts = ", ".join(f"{data.name} {found[file == index].sum()}" for index, data in enumerate(recipe.train))
    print(f"left out, with a cosine above {recipe.near} to a query of an excluded file: {counts}", flush=True)
    return found


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
    measured = [row for excluded in recipe.exclude for row in read(excluded)]
    rows, file = load(recipe, measured)
    encoder, tokenizer, longest = encoders.load(args.encoder, args.dropout)
    if args.max_tokens > longest:
        raise ValueError(f"--max-tokens {args.max_tokens}: this encoder reads at most {longest}")

    def tokens(texts: list[str], most: int) -> list[list[int]]:
        return [cut(encoding.ids, most) for encoding in tokenizer.encode_batch(texts)]

    def embed(texts: list[str], title: str) -> torch.Tensor:
        return embed_all(encoder, tokens(texts, args.train_tokens), title, args.bf16, args.device).cpu()

    apart = ~near(recipe, rows, file, measured, embed)
    rows, file = [row for row, keep in zip(rows, apart) if keep], file[apart]
    is_held_out = np.array(held_out(rows, args.held_out))
    training, validate = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    if len(training) < 10 or len(validate) < 10:
        raise ValueError(f"{len(training)} rows to train on and {len(validate)} held out: give at least 10 of each")
    goal = targets.build(rows, file, recipe, ~is_held_out, args.label, args.relaxation)
    if args.label == "trans":
        binary = labels.is_binary([q for row in rows for q in row.quality.values()])
        print(f"t* = {goal.relaxation:g}" + (": qualities are 0 or 1, so r_trans is r_prob" if binary else ""))
    ids = tokens([row.query for row in rows], args.max_tokens)
    shortened = [cut(i, args.train_tokens) for i in ids]
    if args.write_held_out:
        write_held_out(args.write_held_out, recipe, rows, file, validate)
    head = Head(encoder.size, np.array([len(shortened[i]) for i in training]))
    problem = Problem(
        shortened, goal.value, goal.weight, file, [data.take for data in recipe.train], training, validate
    )
    settings = Settings(
        args.epochs, args.lr, args.head_lr, args.layer_decay, args.freeze, args.batch, args.average, args.weight_decay,
        args.head_decay, args.evaluations, args.bf16, args.seed, args.device,
    )  # fmt: skip
    trainer = Trainer(encoder, head, problem, settings)

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
        values, mean = by_file(logits)
        loss = trainer.loss_of(logits, validate)
        listed = ", ".join(f"{data.name} {value:.3f}" for data, value in zip(recipe.train, values))
        print(f"{title}: loss {loss:.4f}, APGR {mean:.4f} ({listed})", flush=True)
        return -loss if choose_by == "loss" else mean

    runs = []
    for seed in range(args.seed, args.seed + args.runs):
        trainer.restart(seed)
        if args.epochs == 0 or not args.fresh_head:
            trainer.fit_head()
        if args.epochs > 0:
            print(f"seed {seed}: kept {trainer.fine_tune(evaluate, args.fresh_head)}", flush=True)
        else:
            evaluate("frozen encoder")
        runs.append(trainer.state())
    if len(runs) > 1:
        trainer.average(runs)
        evaluate(f"mean of {len(runs)} runs")

    logits = trainer.predict(validate)
    if not np.isfinite(logits).all():
        raise ValueError("the weights are out of range: give more data, or another --head-decay or --lr")
    encoder, head = encoder.cpu(), head.cpu()
    slope, offset = 1.0, 0.0
    if args.label == "gap":  # it has no unit that is the same for all files: the score tells how many queries rank lower
        of_first = file[validate] == 0
        slope, offset = figures.to_quantile(logits[of_first] if of_first.any() else logits)
    served = Served(encoder, head, slope, offset)
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
        "score": "quantile" if args.label == "gap" else "probability",
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
                "small": "+".join(data.small),
                "large": "+".join(data.large),
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
