"""Makes testdata/compat/archived, a bundle with archived models (manifest version 6): models of testdata/quantised, and one
that moved from them.

    python3 testdata/make/compat_archived.py build/bin/wshare testdata

Needs onnx and numpy.
"""
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import numpy_helper

wshare, testdata = sys.argv[1:]
variants = [f"{testdata}/quantised/{name}.onnx" for name in ("float32", "float16", "dynamic_int8", "q4")]
model = onnx.load(variants[0])
random = numpy.random.default_rng(1)
for tensor in model.graph.initializer:
    values = numpy_helper.to_array(tensor)
    if values.dtype == numpy.float32 and values.size >= 256:
        values = values + (random.standard_normal(values.shape) * 1e-4).astype(numpy.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
with tempfile.TemporaryDirectory() as folder:
    onnx.save(model, f"{folder}/moved.onnx")
    subprocess.run([wshare, "dedupe", *variants, f"{folder}/moved.onnx", "-o", f"{testdata}/compat/archived", "--archive"],
                   check=True)
