"""Writes an encoder's folder whose output is in half precision: a router's encoder, and a cast. Prints the tensor's name."""

import json
import shutil
import sys
from pathlib import Path

import onnx

router, tensor, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
model = onnx.load(router / "model.onnx")
half = "last_hidden_state"
model.graph.node.append(onnx.helper.make_node("Cast", [tensor], [half], to=onnx.TensorProto.FLOAT16))
del model.graph.output[:]
shape = ["batch", "tokens", 384]
model.graph.output.append(onnx.helper.make_tensor_value_info(half, onnx.TensorProto.FLOAT16, shape))
out.mkdir()
onnx.save(model, out / "model.onnx")
shutil.copy(router / "tokenizer.json", out)
print(json.dumps(half))
