"""Compares the graph that will be served with the fp32 one: size, scores, figures and speed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from tqdm import tqdm

LENGTHS = (16, 64, 128, 256)


class Session:
    """One query a call on one thread, as the server does on CPU.

    Dynamic int8 takes its range from the whole batch, so a batch of one is the only form in which a query's score does
    not depend on its neighbours.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, ids: list[int], output: str) -> NDArray[np.float32]:
        tokens = np.array([ids], dtype=np.int64)
        return self._session.run([output], {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})[0][0]

    def all(self, ids: list[list[int]], output: str, title: str) -> NDArray[np.float64]:
        return np.stack([self.run(i, output) for i in tqdm(ids, desc=title, leave=False)]).astype(np.float64)

    def latency_ms(self, tokens: int, output: str) -> float:
        """The median of 50 calls after five to warm up."""
        ids = list(range(1000, 1000 + tokens))
        times = []
        for _ in range(55):
            start = time.perf_counter()
            self.run(ids, output)
            times.append(time.perf_counter() - start)
        return float(np.median(times[5:])) * 1e3


@dataclass(frozen=True)
class Drift:
    """How far int8 moves what comes out."""

    cosine_mean: float
    cosine_lowest: float
    score_correlation: float

    def __str__(self) -> str:
        return (
            f"embedding cosine {self.cosine_mean:.4f} (lowest {self.cosine_lowest:.4f}), "
            f"score correlation {self.score_correlation:.4f}"
        )


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def speed_line(name: str, session: Session, output: str, size: int, longest: int) -> str:
    times = ", ".join(f"{n}: {session.latency_ms(n, output):.1f}" for n in LENGTHS if n <= longest)
    return f"{name}: {size / 1e6:.1f} MB; ms a query on one thread by tokens: {times}"
