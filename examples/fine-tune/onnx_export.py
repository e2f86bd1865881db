"""Writes a PyTorch router or encoder as one ONNX graph of standard operators, in fp32 or in dynamic int8."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

EMBEDDING, LOGITS = "sentence_embedding", "logits"
INPUTS = ("input_ids", "attention_mask")
OPSET = 18


def export(module: torch.nn.Module, outputs: list[str]) -> onnx.ModelProto:
    """The graph of a module that takes ids and mask; any batch, any number of tokens. Its outputs get these names."""
    # Two rows, one padded, so that nothing of the example's own shape ends up as a constant.
    ids = torch.randint(1, 100, (2, 17))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module.eval(),
            (ids, mask),
            path,
            input_names=list(INPUTS),
            output_names=outputs,
            dynamic_shapes=(axes, axes),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(path)
    _strip(model)
    for value in (*model.graph.input, *model.graph.output):
        _name_axes(value)
    onnx.checker.check_model(model)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Drops what the exporter notes for people: source lines and machine paths, which change from place to place."""
    model.producer_name, model.producer_version, model.doc_string = "hybrid-llm", "", ""
    model.graph.name, model.graph.doc_string = "router", ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]


def _name_axes(value: onnx.ValueInfoProto) -> None:
    dims = value.type.tensor_type.shape.dim
    dims[0].dim_param = "batch"
    if value.name in INPUTS:
        dims[1].dim_param = "tokens"


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Dynamic int8: integer products with a scale for each output channel, word embeddings with one for each row.

    Only the encoder's products are quantised. What stands behind the embedding is small and stays in fp32.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(_int8_words(model), source)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it advises a preprocessing that changes nothing here
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=_behind_embedding(model),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        root.setLevel(level)
        result = onnx.load(target)
    if not any(node.op_type == "MatMulInteger" for node in result.graph.node):
        raise ValueError("the int8 graph has no integer product: this encoder keeps its weights in no MatMul; "
                         "use --precision fp32")
    result.producer_name, result.producer_version = "hybrid-llm", ""
    onnx.checker.check_model(result)
    return result


def _behind_embedding(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that the embedding goes into; the quantiser renames a Gemm before it looks, so both names."""
    reached, names = {EMBEDDING}, []
    for node in model.graph.node:  # in topological order
        if reached.intersection(node.input):
            reached.update(node.output)
            names += [node.name, f"{node.name}_MatMul"]
    return names


def _int8_words(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose word embeddings take a quarter of the space: int8 rows, each with its own scale."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    tables = {tensor.name: tensor for tensor in graph.initializer}
    for at, node in enumerate(graph.node):
        if node.op_type == "Gather" and node.input[0] in tables and node.input[1] == "input_ids":
            break
    else:
        return copy  # an encoder that looks words up in another way keeps them in fp32
    name, words = node.input[0], node.output[0]
    table = numpy_helper.to_array(tables[name])
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127.0
    codes = np.rint(table / scale).astype(np.int8)
    if sum(name in n.input for n in graph.node) > 1:
        return copy
    graph.initializer.remove(tables[name])
    graph.initializer.append(numpy_helper.from_array(codes, f"{name}.int8"))
    graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
    new = [
        helper.make_node("Gather", [f"{name}.int8", "input_ids"], ["words.int8"], name="words.int8"),
        helper.make_node("Cast", ["words.int8"], ["words.codes"], name="words.codes", to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}.scale", "input_ids"], ["words.scale"], name="words.scale"),
        helper.make_node("Mul", ["words.codes", "words.scale"], [words], name="words"),
    ]
    nodes = [*graph.node[:at], *new, *graph.node[at + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def serve_logits_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with `logits` as its one output; the embedding stays inside it under its own name."""
    served = onnx.ModelProto()
    served.CopyFrom(model)
    for output in [o for o in served.graph.output if o.name != LOGITS]:
        served.graph.output.remove(output)
    if not any(EMBEDDING in node.output for node in served.graph.node):
        raise RuntimeError(f"the graph has lost its tensor {EMBEDDING}")
    onnx.checker.check_model(served)
    return served
