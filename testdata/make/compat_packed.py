"""Makes testdata/compat/packed, a bundle with a pack (manifest version 3), from a model of one MatMul; or
testdata/compat/two_packs, one with a pack for each ONNX Runtime that is named (version 5).

    python3 testdata/make/compat_packed.py build/bin/wshare testdata/compat/packed
    python3 testdata/make/compat_packed.py build/bin/wshare testdata/compat/two_packs .deps/onnxruntime-1.29.0/lib .deps/releases/1.32.0

Needs onnx and numpy. The packed bytes are those of the machine that runs it.
"""
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

wshare, bundle, *runtimes = sys.argv[1:]
weight = numpy.arange(64 * 32, dtype=numpy.float32).reshape(32, 64) / 4096
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "weight"], ["y"])], "packed",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
    [numpy_helper.from_array(weight, "weight")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
with tempfile.TemporaryDirectory() as folder:
    onnx.save(model, f"{folder}/linear.onnx")
    subprocess.run([wshare, "dedupe", f"{folder}/linear.onnx", "-o", bundle], check=True)
for options in [["--onnxruntime", runtime] for runtime in runtimes] or [[]]:
    subprocess.run([wshare, "pack", bundle, *options], check=True)
