"""Trains the head on the frozen encoder, then both together, and keeps the best average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from encoder import Encoder, Head, embed, embed_all
from figures import better

# The weights of the encoder and of the head, by name.
State = tuple[dict[str, Tensor], dict[str, Tensor]]
WARM_UP = 0.06  # of all steps
POOL = 32  # batches' worth of queries that are sorted by length together


@dataclass(frozen=True)
class Settings:
    epochs: float
    lr: float
    head_lr: float
    layer_decay: float
    freeze: int
    batch: int
    average: float
    weight_decay: float
    head_decay: float
    evaluations: int
    bf16: bool
    seed: int
    device: str


@dataclass(frozen=True)
class Problem:
    """Token ids, labels and weights of all rows; `train` and `validate` are row numbers, `take` is of a row's file."""

    ids: list[list[int]]
    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    file: NDArray[np.int64]
    take: list[float]
    train: NDArray[np.int64]
    validate: NDArray[np.int64]


class Trainer:
    """Holds the one encoder and its head while they change."""

    def __init__(self, encoder: Encoder, head: Head, problem: Problem, settings: Settings) -> None:
        self.encoder, self.head = encoder.to(settings.device), head.to(settings.device)
        self.problem, self.settings = problem, settings
        self.random = np.random.default_rng(settings.seed)
        self._begin = self.state()
        self.lengths = np.array([len(ids) for ids in problem.ids])

    def restart(self, seed: int) -> None:
        """Puts the weights back to what they were at first, for another run with other chance in it."""
        self._load(self._begin)
        self.random = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def _embed(self, rows: NDArray[np.int64]) -> Tensor:
        return embed(self.encoder, [self.problem.ids[row] for row in rows], self.settings.bf16, self.settings.device)

    def _tokens(self, rows: NDArray[np.int64]) -> Tensor:
        return torch.tensor(self.lengths[rows], device=self.settings.device)

    def embed_all(self, rows: NDArray[np.int64], title: str) -> Tensor:
        ids = [self.problem.ids[row] for row in rows]
        return embed_all(self.encoder, ids, title, self.settings.bf16, self.settings.device)

    def _loss(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        value = torch.tensor(self.problem.value[rows], device=self.settings.device)
        weight = torch.tensor(self.problem.weight[rows], device=self.settings.device)
        return (F.binary_cross_entropy_with_logits(logits[:, 0], value, reduction="none") * weight).mean()

    def fit_head(self) -> None:
        """Logistic regression on the encoder as it came: the place that fine-tuning starts from."""
        rows = self.problem.train
        embedding, tokens = self.embed_all(rows, "frozen encoder"), self._tokens(rows)
        weight = self.head.linear.weight
        optimizer = torch.optim.LBFGS(self.head.parameters(), max_iter=150, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self._loss(self.head(embedding, tokens), rows)
            loss = loss + self.settings.head_decay / 2 * weight[:, :-1].square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    def predict(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The head's logits with the weights as they are now."""
        embedding = self.embed_all(rows, "validation")
        with torch.no_grad():
            return self.head(embedding, self._tokens(rows))[:, 0].double().cpu().numpy()

    def loss_of(self, logits: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
        return self._loss(torch.tensor(logits[:, None], dtype=torch.float32, device=self.settings.device), rows).item()

    def _groups(self) -> list[dict]:
        """Parameters to train: the head fast, each layer below the top slower; word embeddings stay as they are."""
        s = self.settings
        groups = [{"params": list(self.head.parameters()), "lr": s.head_lr}]
        self.encoder.requires_grad_(False)
        layers = self.encoder.layers()
        if s.freeze > len(layers):
            raise ValueError(f"--freeze {s.freeze}: this encoder has {len(layers)} layers")
        for depth, layer in enumerate(layers):
            if depth >= s.freeze:
                layer.requires_grad_(True)
                rate = s.lr * s.layer_decay ** (len(layers) - 1 - depth)
                groups.append({"params": list(layer.parameters()), "lr": rate})
        return groups

    def _batches(self) -> list[NDArray[np.int64]]:
        """One epoch: each file's rows as often as it is taken, in batches of like length, in random order."""
        p = self.problem
        picks = []
        for index, take in enumerate(p.take):
            rows = p.train[p.file[p.train] == index]
            copies = np.concatenate([self.random.permutation(rows) for _ in range(max(1, math.ceil(take)))])
            picks.append(copies[: round(take * len(rows))])
        shuffled = self.random.permutation(np.concatenate(picks))
        batches: list[NDArray[np.int64]] = []
        size = self.settings.batch
        for start in range(0, len(shuffled), size * POOL):
            near = shuffled[start : start + size * POOL]
            near = near[np.argsort(self.lengths[near], kind="stable")]
            batches += [near[i : i + size] for i in range(0, len(near), size)]
        return [batches[i] for i in self.random.permutation(len(batches))]

    def fine_tune(self, evaluate: Callable[[str], float], fresh: bool) -> str:
        """Trains; `evaluate` judges the averaged weights, the higher the better. Leaves the best, and names it.

        With a `fresh` head the weights at the start are not among what is chosen from: they score all queries alike.
        Raises ValueError where no checkpoint has a figure.
        """
        s = self.settings
        best = (math.nan if fresh else evaluate("epoch 0"), "epoch 0", self.state())
        groups = self._groups()
        rates = [group["lr"] for group in groups]
        optimizer = torch.optim.AdamW(groups, weight_decay=s.weight_decay)
        parameters = [p for group in groups for p in group["params"]]
        average = [p.detach().clone() for p in parameters]
        queue = self._batches()
        epoch_steps = len(queue)
        steps = max(1, round(s.epochs * epoch_steps))
        warm = max(1, round(WARM_UP * steps))
        every = max(1, epoch_steps // s.evaluations)
        self.encoder.train()
        bar = tqdm(total=steps, desc="fine-tune", unit="step")
        for step in range(steps):
            if not queue:
                queue = self._batches()
            factor = min((step + 1) / warm, (steps - step) / max(1, steps - warm))
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor
            rows = queue.pop()
            loss = self._loss(self.head(self._embed(rows), self._tokens(rows)), rows)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            # Young averages follow closely, older ones more slowly.
            keep = min(s.average, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1.0 - keep)
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.4f}")
            if ((step + 1) % every == 0 and steps - step > every // 2) or step + 1 == steps:
                current = [p.detach().clone() for p in parameters]
                _copy(average, parameters)
                title = f"epoch {(step + 1) / epoch_steps:.2f}"
                value = evaluate(title)
                if better(value, best[0]):
                    best = (value, title, self.state())
                _copy(current, parameters)
                self.encoder.train()
        bar.close()
        if math.isnan(best[0]):
            raise ValueError("no checkpoint has a figure: training ran away; give a lower --lr and --head-lr")
        self._load(best[2])
        self.encoder.eval()
        return best[1]

    def average(self, runs: list[State]) -> None:
        """Loads the mean of several runs' weights. They began at the same weights, so that their mean is a model too, and one
        with less of each run's chance in it (Wortsman et al. 2022, model soups)."""
        mean = [{k: torch.stack([run[part][k] for run in runs]).float().mean(0).to(v.dtype) for k, v in first.items()}
                for part, first in enumerate(runs[0])]
        self._load((mean[0], mean[1]))
        self.encoder.eval()

    def _load(self, state: State) -> None:
        self.encoder.load_state_dict(state[0])
        self.head.load_state_dict(state[1])

    def state(self) -> State:
        """A copy of all weights."""
        copies = [{k: v.detach().clone() for k, v in m.state_dict().items()} for m in (self.encoder, self.head)]
        return copies[0], copies[1]


def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    with torch.no_grad():
        for s, t in zip(source, target):
            t.copy_(s)
