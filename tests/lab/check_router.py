"""Checks a router's folder with the ONNX checker, and scores a text with plain ONNX Runtime: prints one JSON number."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from tokenizers import Tokenizer

folder, text = Path(sys.argv[1]), sys.argv[2]
manifest = json.loads((folder / "router.json").read_text(encoding="utf-8"))
onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(manifest["max_tokens"])
ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
[logits] = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
print(json.dumps(1.0 / (1.0 + math.exp(-float(logits[0, 0])))))
