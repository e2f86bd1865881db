"""Writes a folder with a router's model that ends in one of its tensors, cast to half precision. Prints the output's name."""

import json
import shutil
import sys
from pathlib import Path

import onnx

router, tensor, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
model = onnx.load(router / "model.onnx")
half = "last_hidden_state" if tensor != "logits" else "half_logits"
model.graph.node.append(onnx.helper.make_node("Cast", [tensor], [half], to=onnx.TensorProto.FLOAT16))
del model.graph.output[:]
shape = ["batch", "tokens", 384] if tensor != "logits" else ["batch", 1]
model.graph.output.append(onnx.helper.make_tensor_value_info(half, onnx.TensorProto.FLOAT16, shape))
out.mkdir()
onnx.save(model, out / "model.onnx")
shutil.copy(router / "tokenizer.json", out)
manifest = json.loads((router / "router.json").read_text(encoding="utf-8"))
manifest.pop("sha256", None)
(out / "router.json").write_text(json.dumps(manifest), encoding="utf-8")
print(json.dumps(half))
