"""Makes a model of the weights in a .safetensors file, and fine-tunes of it as AdamW leaves them: rows of words that
were not seen stay, all other weights walk by 5e-5 * sqrt(200). In float32 and in bfloat16. Then checkpoints of one
training in float32: each walks on from the one before, by as much.

    python3 testdata/make/fine_tunes.py MODEL.safetensors|MIB OUT [COUNT [fp32,bf16,checkpoints]]

A number of MiB stands for weights at random of that size.

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


def at_random(mib):
    random = numpy.random.default_rng(0)
    shape = 1024, 4096  # 16 MiB
    return {f"w{i}": random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.03) for i in range(mib // 16)}


def make(folder, models, dtype):
    os.makedirs(f"{out}/{folder}", exist_ok=True)
    for name, weights in models:
        save(f"{out}/{folder}/{name}.onnx", weights, dtype)


def fine_tunes():
    yield "base", base
    for number in range(count):
        random = numpy.random.default_rng(number + 1)
        yield f"tune{number}", {n: walk(n, v, random) for n, v in base.items()}


def checkpoints():
    weights = base
    yield "base", weights
    for number in range(count):
        random = numpy.random.default_rng(number + 1)
        weights = {n: walk(n, v, random) for n, v in weights.items()}
        yield f"step{number}", weights


source, out = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 10
kinds = sys.argv[4].split(",") if len(sys.argv) > 4 else ["fp32", "bf16", "checkpoints"]
base = at_random(int(source)) if source.isdigit() else read(source)
if "fp32" in kinds:
    make("fp32", fine_tunes(), TensorProto.FLOAT)
if "bf16" in kinds:
    make("bf16", fine_tunes(), TensorProto.BFLOAT16)
if "checkpoints" in kinds:
    make("checkpoints", checkpoints(), TensorProto.FLOAT)
