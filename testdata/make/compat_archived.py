"""Makes testdata/compat/archived, a bundle with archived models (manifest version 6): models of testdata/quantised, and one
that moved from them; and testdata/compat/chain, checkpoints that are computed from each other, without one of them.

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
random = numpy.random.default_rng(1)


def move(model, by=1e-4):
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == numpy.float32 and values.size >= 256:
            values = values + (random.standard_normal(values.shape) * by).astype(numpy.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def make(files, bundle, *options):
    subprocess.run([wshare, "dedupe", *files, "-o", bundle, *options], check=True)


model = onnx.load(variants[0])
with tempfile.TemporaryDirectory() as folder:
    move(model)
    onnx.save(model, f"{folder}/moved.onnx")
    make([*variants, f"{folder}/moved.onnx"], f"{testdata}/compat/archived", "--archive")
    steps = [f"{folder}/step{number}.onnx" for number in range(4)]
    for number, step in enumerate(steps):
        onnx.save(model, step)
        move(model, 1e-2 / 4**number)  # less and less: so the nearest is worth a step
    chain = f"{testdata}/compat/chain"
    make(steps, chain)
    subprocess.run([wshare, "archive", chain, "--chain", "--base", "step0"], check=True)
    subprocess.run([wshare, "remove", chain, "step1"], check=True)
