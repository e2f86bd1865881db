"""Runs finetune.py on made-up queries and a tiny random encoder, and looks at what it writes and refuses."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from transformers import logging as transformers_logging

import encoder as encoders
import finetune
import folder

PROGRAM = Path(__file__).with_name("finetune.py")
NOUNS = ("river", "lamp", "teacher", "engine", "garden", "letter", "violin", "harbour", "cloud", "bridge", "recipe", "clock")
EASY = ("What colour is a {}?", "Name one use of a {}.", "Is a {} bigger than a cup?", "Spell the word {} for me.")
HARD = (
    "Prove by induction that a lattice of {} graphs is distributive.",
    "Derive the partition function of a {} in the canonical ensemble.",
    "Give the asymptotic complexity of sorting every {} with a Fibonacci heap.",
    "Show that the homology group of the {} complex is finitely generated.",
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MANIFEST = {
    "name", "version", "encoder", "max_tokens", "output", "score", "label", "relaxation", "small", "large", "trained_on", "sha256",
}  # fmt: skip
TRAINED_ON = {"source", "file", "rows", "held_out", "small", "large", "licence"}


def write_data(file: Path) -> int:
    """`small` is right on easy queries; `even` is on the whole as good as `small`, response by response it isn't."""
    rows = [(text.format(noun), text in EASY) for noun in NOUNS for text in (*EASY, *HARD)]
    lines = []
    for query, easy in rows:
        quality = {"small": [1, 1] if easy else [0, 1], "large": [1, 1], "even": [1, 1] if easy else [1, 0]}
        lines.append(json.dumps({"query": query, "quality": quality}) + "\n")
    file.write_text("".join(lines), encoding="utf-8")
    return len(rows)


def write_worse(file: Path) -> None:
    """`small` is worse on every query, by little on easy ones: no probability that it is as good tells them apart."""
    rows = [(text.format(noun), text in EASY) for noun in NOUNS for text in (*EASY, *HARD)]
    lines = [json.dumps({"query": q, "quality": {"small": 0.85 if easy else 0.5, "large": 0.9}}) for q, easy in rows]
    file.write_text("\n".join(lines), encoding="utf-8")


def write_encoder(out: Path) -> None:
    words = sorted({word for text in (*EASY, *HARD) for word in re.findall(r"\w+|[^\w\s]", text.lower())} | {*NOUNS})
    words += [f"unused{number}" for number in range(1300 - len(words) - len(SPECIAL))]
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(SPECIAL + words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, SPECIAL.index(name)) for name in ("[CLS]", "[SEP]")]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(out)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=1300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    transformers_logging.disable_progress_bar()
    BertModel(shape).save_pretrained(out)


def command(*args: str | Path) -> str:
    """Runs the program by itself, and gives what it prints."""
    line = [sys.executable, str(PROGRAM), *map(str, args), "--threads", "1"]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    return done.stdout


def main_of(*args: str | Path) -> tuple[int, str]:
    """Runs it in this process, since it takes longer to load PyTorch than to do such work."""
    sys.argv = [str(PROGRAM), *map(str, args), "--threads", "1"]
    with io.StringIO() as said, redirect_stderr(said), redirect_stdout(said):
        return finetune.main(), said.getvalue()


def works(*args: str | Path) -> str:
    code, said = main_of(*args)
    assert code == 0, said
    return said


def refused(because: str, *args: str | Path) -> None:
    code, said = main_of(*args)
    assert code == 1 and because in said, said


def run_graph(out: Path, output: str) -> np.ndarray:
    """What the one output is for a query of each form, one a call as the server does it."""
    model = onnx.load(out / "model.onnx")
    onnx.checker.check_model(model)
    assert [o.name for o in model.graph.output] == [output], model.graph.output
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in tokens(out)]
    return np.array([session.run(None, one)[0][0] for one in inputs])


def tokens(out: Path) -> list[np.ndarray]:
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    return [np.array([tokenizer.encode(text.format(NOUNS[0])).ids]) for text in (*EASY, *HARD)]


def is_int8(out: Path) -> bool:
    return any(node.op_type == "MatMulInteger" for node in onnx.load(out / "model.onnx").graph.node)


def check_router(out: Path, data: Path, rows: int, said: str) -> dict:
    """A folder that the scorer serves, with all that others read in its manifest."""
    assert sorted(file.name for file in out.iterdir()) == sorted(folder.PARTS)
    manifest = json.loads((out / "router.json").read_text(encoding="utf-8"))
    assert set(manifest) == MANIFEST, manifest
    files = ("model.onnx", "tokenizer.json")
    assert manifest["sha256"] == {name: folder.sha256(out / name) for name in files}, manifest
    [entry] = manifest["trained_on"]
    assert set(entry) == TRAINED_ON and entry["file"] == data.name, entry
    assert entry["rows"] + entry["held_out"] == rows and entry["held_out"] > 0, entry
    logits = run_graph(out, "logits")
    scores = 1 / (1 + np.exp(-logits))
    assert manifest["output"] == "sigmoid" and logits.shape == (len(EASY) + len(HARD), 1)
    assert ((scores >= 0) & (scores <= 1)).all() and np.ptp(scores) > 1e-4, scores
    assert is_int8(out) == ("writing fp32 instead" not in said), said
    return manifest


def main() -> None:
    with tempfile.TemporaryDirectory() as place_name:
        place = Path(place_name)
        data, encoder, router = place / "made-up.jsonl", place / "tiny", place / "router"
        rows = write_data(data)
        write_encoder(encoder)
        common = ("train", "--encoder", encoder, "--data", data, "--held-out", "5")
        pair = (*common, "--small", "small", "--large", "large")

        def trains() -> None:
            said = command(*pair, "--label", "gap", "--epochs", "1", "--out", router, "--write-held-out", place / "held")
            manifest = check_router(router, data, rows, said)
            assert (manifest["label"], manifest["encoder"]) == ("gap", "tiny, fine-tuned"), manifest
            assert manifest["score"] == "quantile", manifest
            [held] = (place / "held").iterdir()
            lines = held.read_text(encoding="utf-8").splitlines()
            assert held.name == "made-up.held-out.jsonl" and len(lines) == manifest["trained_on"][0]["held_out"]
            assert set(lines) < set(data.read_text(encoding="utf-8").splitlines())

        def trains_the_head_alone_and_replaces_a_router() -> None:
            before = folder.sha256(router / "model.onnx")
            refused("exists: choose another folder, or --force", *pair, "--out", router)
            assert folder.sha256(router / "model.onnx") == before
            said = works(*pair, "--label", "prob", "--epochs", "0", "--out", router, "--force")
            manifest = check_router(router, data, rows, said)
            assert (manifest["label"], manifest["encoder"]) == ("prob", "tiny, frozen"), manifest
            assert manifest["score"] == "probability", manifest
            easy_and_hard = np.split(run_graph(router, "logits")[:, 0], 2)
            assert easy_and_hard[0].min() > easy_and_hard[1].max(), "the queries are easy to tell apart"

        def chooses_by_loss_where_there_is_no_apgr() -> None:
            even = ("--small", "small", "--large", "even", "--fresh-head", "--head-lr", ".01")
            said = works(*common, *even, "--epochs", "3", "--out", place / "even")
            assert "checkpoints are chosen by the loss" in said and "there is no APGR to hold int8 to" in said, said
            assert re.search(r"kept epoch \d\.\d\d$", said, re.MULTILINE), said
            check_router(place / "even", data, rows, said)

        def serves_a_small_model_that_is_always_a_little_worse() -> None:
            worse = place / "worse.jsonl"
            write_worse(worse)
            said = works(
                "train", "--encoder", encoder, "--data", worse, "--held-out", "5", "--small", "small", "--large", "large",
                "--label", "gap", "--epochs", "0", "--out", place / "worse",
            )  # fmt: skip
            manifest = check_router(place / "worse", worse, rows, said)
            assert manifest["score"] == "quantile", manifest
            easy, hard = np.split(1 / (1 + np.exp(-run_graph(place / "worse", "logits")[:, 0])), 2)
            assert hard.max() < 0.5 < easy.min(), "half of the queries are easy: they are the upper half"

        def leaves_out_what_is_nearly_measured() -> None:
            measured = place / "measured.jsonl"
            queries = [EASY[0].format(NOUNS[0]), EASY[0].format(NOUNS[1]) + " Say"]
            measured.write_text("".join(json.dumps({"query": q, "quality": {}}) + "\n" for q in queries), encoding="utf-8")
            recipe = place / "near.toml"
            recipe.write_text(
                f'exclude = ["{measured}"]\nnear = 0.9999\n[[train]]\nfile = "{data}"\nsmall = "small"\nlarge = "large"\n',
                encoding="utf-8",
            )
            line = ("train", "--encoder", encoder, "--recipe", recipe, "--held-out", "5", "--epochs", "0", "--label", "gap")
            said = works(*line, "--out", place / "apart")
            assert f"made-up: {rows - 1} rows" in said and "to a query of an excluded file: made-up 0" in said, said
            recipe.write_text(recipe.read_text(encoding="utf-8").replace("0.9999", "0.8"), encoding="utf-8")
            said = works(*line, "--out", place / "apart", "--force")
            found = re.search(r"to a query of an excluded file: made-up (\d+)$", said, re.MULTILINE)
            assert found and int(found[1]) > 0, said

        def exports_an_encoder() -> None:
            out = place / "encoder"
            works("export-encoder", "--encoder", encoder, "--out", out)
            assert sorted(file.name for file in out.iterdir()) == ["model.onnx", "tokenizer.json"] and is_int8(out)
            folder.replaceable(out, True)
            exact = encoders.load(str(encoder), 0.0)[0].eval()
            with torch.no_grad():
                expected = [exact(ids, torch.ones_like(ids))[0].numpy() for ids in map(torch.tensor, tokens(out))]
            cosine = (run_graph(out, "sentence_embedding") * np.array(expected)).sum(1)
            assert cosine.min() > 0.98, cosine

        def refuses_what_it_cannot_use() -> None:
            thesis = place / "thesis"
            thesis.mkdir()
            (thesis / "chapter.tex").write_text("years", encoding="utf-8")
            refused("not replaced, even with --force: it has chapter.tex", *pair, "--out", thesis, "--force")
            assert (thesis / "chapter.tex").read_text(encoding="utf-8") == "years"
            bad = place / "bad.jsonl"
            bad.write_bytes(data.read_bytes() + b'{"query": "\xff", "quality": {}}\n')
            new = ("--out", place / "new")
            refused(f"bad.jsonl line {rows + 1}: its byte 12 is not UTF-8", *pair, "--exclude", bad, *new)
            away = ("--fresh-head", "--lr", "1e30", "--head-lr", "1e30", "--epochs", "1")
            refused("training ran away", *pair, *away, *new)
            assert not (place / "new").exists()

        for check in (
            trains,
            trains_the_head_alone_and_replaces_a_router,
            chooses_by_loss_where_there_is_no_apgr,
            serves_a_small_model_that_is_always_a_little_worse,
            leaves_out_what_is_nearly_measured,
            exports_an_encoder,
            refuses_what_it_cannot_use,
        ):
            start = time.perf_counter()
            check()
            print(f"{check.__name__}: ok ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
