"""Runs the ONNX encoder over queries as the server does: one query a call, so that scores match those served."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
from tokenizers import Tokenizer
from tqdm import tqdm


class Encoder:
    """Tokenizer and session. Dynamic int8 takes its range from the whole batch, so a batch of one is the only
    form in which a query's score does not depend on its neighbours."""

    def __init__(self, model: onnx.ModelProto, tokenizer_json: str, output: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._output = output

    def run(self, query: str, max_tokens: int) -> np.ndarray:
        encoding = self._tokenizer.encode(query)
        ids = encoding.ids if len(encoding.ids) <= max_tokens else [*encoding.ids[: max_tokens - 1], encoding.ids[-1]]
        tokens = np.array([ids], dtype=np.int64)
        feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        return self._session.run([self._output], feeds)[0][0]

    def lengths(self, queries: list[str]) -> np.ndarray:
        return np.array([len(e.ids) for e in self._tokenizer.encode_batch(queries)])

    def all(self, queries: list[str], max_tokens: int, title: str) -> np.ndarray:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(lambda q: self.run(q, max_tokens), queries)
            return np.stack(list(tqdm(results, total=len(queries), desc=title)))

    def at_limits(self, queries: list[str], limits: list[int]) -> dict[int, np.ndarray]:
        """The output at each token limit; a query shorter than the limit below is not run again."""
        lengths = self.lengths(queries)
        found: dict[int, np.ndarray] = {}
        below = 0
        for limit in sorted(limits):
            longer = np.flatnonzero(lengths > below)
            if not len(longer):
                found[limit] = found[below]
                continue
            rows = self.all([queries[i] for i in longer], limit, f"encode, at most {limit} tokens")
            values = found[below].copy() if below else np.empty((len(queries), rows.shape[1]), np.float32)
            values[longer] = rows
            found[limit], below = values, limit
        return found
