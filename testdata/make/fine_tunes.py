"""Makes a model of the weights in a .safetensors file, and fine-tunes of it as AdamW leaves them: rows of words that
were not seen stay, all other weights walk by 5e-5 * sqrt(200). In float32 and in bfloat16. Then checkpoints of one
training in float32: each walks on from the one before, by as much.

    python3 testdata/make/fine_tunes.py model.safetensors OUT [COUNT]

Needs onnx and numpy. The graphs only name the weights.
"""
import json
import os
import struct
import sys

import numpy
import onnx
from onnx import TensorProto, helper


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    weights = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        count = int(numpy.prod(entry["shape"]))
        values = numpy.frombuffer(data, numpy.float32, count, begin + entry["data_offsets"][0])
        weights[name] = values.reshape(entry["shape"])
    return weights


def bfloat16(values):
    bits = numpy.ascontiguousarray(values).view(numpy.uint32).astype(numpy.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def save(path, weights, dtype):
    tensors, nodes, outputs = [], [], []
    for name, values in weights.items():
        values = bfloat16(values) if dtype == TensorProto.BFLOAT16 else numpy.ascontiguousarray(values)
        tensors.append(TensorProto(name=name, data_type=dtype, dims=values.shape, raw_data=values.tobytes()))
        nodes.append(helper.make_node("Shape", [name], [name + "_shape"]))
        outputs.append(helper.make_tensor_value_info(name + "_shape", TensorProto.INT64, [values.ndim]))
    onnx.save(helper.make_model(helper.make_graph(nodes, "weights", [], outputs, tensors)), path)


def walk(name, values, random):
    steps = random.standard_normal(values.shape, dtype=numpy.float32) * numpy.float32(5e-5 * 200**0.5)
    if "word_embeddings" in name:
        steps[random.random(values.shape[0]) < 0.86] = 0
    return values + steps


source, out = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 10
base = read(source)
for dtype, folder in ((TensorProto.FLOAT, "fp32"), (TensorProto.BFLOAT16, "bf16")):
    os.makedirs(f"{out}/{folder}", exist_ok=True)
    save(f"{out}/{folder}/base.onnx", base, dtype)
    for number in range(count):
        random = numpy.random.default_rng(number + 1)
        save(f"{out}/{folder}/tune{number}.onnx", {n: walk(n, v, random) for n, v in base.items()}, dtype)
os.makedirs(f"{out}/checkpoints", exist_ok=True)
save(f"{out}/checkpoints/base.onnx", base, TensorProto.FLOAT)
for number in range(count):
    random = numpy.random.default_rng(number + 1)
    base = {n: walk(n, v, random) for n, v in base.items()}
    save(f"{out}/checkpoints/step{number}.onnx", base, TensorProto.FLOAT)
