"""Writes testdata/quantised: one small model, and what ONNX Runtime's quantisers make of it.

    python testdata/make/quantised.py testdata

Real tools make every file but float32.onnx: onnxruntime.quantization (dynamic, QDQ, QOperator), its
MatMulNBits quantiser and the float16 converter of onnxruntime.transformers. `renamed.onnx` is
dynamic_int8.onnx with every initializer under another name. Needs numpy, onnx and onnxruntime (see
requirements.txt).
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic,
                                      quantize_static)
from onnxruntime.quantization.matmul_nbits_quantizer import (DefaultWeightOnlyQuantConfig,
                                                             MatMulNBitsQuantizer)
from onnxruntime.transformers.float16 import convert_float_to_float16

VOCABULARY, WIDTH, HIDDEN = 48, 40, 64


def base() -> onnx.ModelProto:
    random = np.random.default_rng(11)

    def weight(name: str, *shape: int) -> TensorProto:
        scale = 0.3 / np.sqrt(shape[-1])
        return numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), name)

    weights = [
        weight("embedding.weight", VOCABULARY, WIDTH),
        weight("up.weight", WIDTH, HIDDEN), weight("up.bias", HIDDEN),
        weight("down.weight", HIDDEN, WIDTH),
        weight("head.weight", 24, WIDTH), weight("head.bias", 24),
        weight("conv.weight", 8, 4, 3, 3), weight("conv.bias", 8),
        numpy_helper.from_array(np.array([1, 4, 8, 5], np.int64), "image"),
    ]
    nodes = [
        helper.make_node("Gather", ["embedding.weight", "ids"], ["x"], "embedding"),
        helper.make_node("MatMul", ["x", "up.weight"], ["u"], "up"),
        helper.make_node("Add", ["u", "up.bias"], ["u_b"], "up_bias"),
        helper.make_node("Relu", ["u_b"], ["u_r"], "relu"),
        helper.make_node("MatMul", ["u_r", "down.weight"], ["d"], "down"),
        helper.make_node("Gemm", ["d", "head.weight", "head.bias"], ["logits"], "head", transB=1),
        helper.make_node("Slice", ["d", "zero", "four"], ["d4"], "slice"),
        helper.make_node("Reshape", ["d4", "image"], ["pixels"], "reshape"),
        helper.make_node("Conv", ["pixels", "conv.weight", "conv.bias"], ["features"], "conv",
                         pads=[1, 1, 1, 1]),
    ]
    weights += [numpy_helper.from_array(np.array([0], np.int64), "zero"),
                numpy_helper.from_array(np.array([4], np.int64), "four")]
    graph = helper.make_graph(
        nodes, "quantised",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [6])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [6, 24]),
         helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 8, 8, 5])],
        weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10,
                              producer_name="testdata/make/quantised.py")
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model)


class Samples(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = 8

    def get_next(self):
        self.left -= 1
        if self.left < 0:
            return None
        return {"ids": np.random.default_rng(self.left).integers(0, VOCABULARY, 6)}


def nbits(model: onnx.ModelProto, *operators: str, **how) -> onnx.ModelProto:
    config = DefaultWeightOnlyQuantConfig(op_types_to_quantize=operators, **how)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantizer = MatMulNBitsQuantizer(copy, algo_config=config)
    quantizer.process()
    return quantizer.model.model


def rename(model: onnx.ModelProto) -> onnx.ModelProto:
    names = {w.name: f"t{i}" for i, w in enumerate(model.graph.initializer)}
    for w in model.graph.initializer:
        w.name = names[w.name]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
    return model


def cast_and_scaled(model: onnx.ModelProto) -> onnx.ModelProto:
    """`up` and `down` as some exporters write them: int8, a Cast and a Mul."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for name in ("up.weight", "down.weight"):
        old = next(w for w in graph.initializer if w.name == name)
        values = numpy_helper.to_array(old)
        scale = (np.abs(values).max(axis=0, keepdims=True) / 127).astype(np.float32)
        old.CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), name + "_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, name + "_scale"))
        graph.node.insert(0, helper.make_node("Mul", [name + "_cast", name + "_scale"], [name]))
        graph.node.insert(0, helper.make_node("Cast", [name + "_int8"], [name + "_cast"],
                                              to=TensorProto.FLOAT))
    onnx.checker.check_model(copy)
    return copy


def left_beside(quantized: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """The floats of `up` are still there for an Identity that nobody reads, as quantize_dynamic
    leaves them in models whose layers share weights by Identity."""
    weight = next(w for w in model.graph.initializer if w.name == "up.weight")
    quantized.graph.initializer.append(weight)
    quantized.graph.node.append(helper.make_node("Identity", [weight.name], ["nobody.reads"]))
    return quantized


def main() -> None:
    out = Path(sys.argv[1]) / "quantised"
    out.mkdir(exist_ok=True)
    source = out / "float32.onnx"
    model = base()
    onnx.save(model, source)

    def static(name: str, form: QuantFormat, **how) -> None:
        quantize_static(source, out / name, Samples(), quant_format=form, **how)

    quantize_dynamic(source, out / "dynamic_int8.onnx", weight_type=QuantType.QInt8)
    quantize_dynamic(source, out / "dynamic_uint8.onnx", weight_type=QuantType.QUInt8,
                     per_channel=True, reduce_range=True)
    static("qdq.onnx", QuantFormat.QDQ, per_channel=True)
    static("qdq_int4.onnx", QuantFormat.QDQ, weight_type=QuantType.QInt4,
           op_types_to_quantize=["MatMul"], per_channel=True)
    static("qoperator.onnx", QuantFormat.QOperator, activation_type=QuantType.QUInt8,
           weight_type=QuantType.QUInt8)
    onnx.save(nbits(model, "MatMul", "Gather", block_size=32, is_symmetric=True), out / "q4.onnx")
    onnx.save(nbits(model, "MatMul", "Gather", block_size=16, is_symmetric=False), out / "q4_asymmetric.onnx")
    onnx.save(nbits(model, "MatMul", block_size=32, is_symmetric=True, quant_format=QuantFormat.QDQ),
              out / "q4_qdq.onnx")
    onnx.save(nbits(model, "MatMul", block_size=32, is_symmetric=False, bits=8), out / "q8.onnx")
    half = convert_float_to_float16(model, keep_io_types=True)
    onnx.save(half, out / "float16.onnx")
    onnx.save(nbits(half, "MatMul", block_size=32, is_symmetric=True), out / "q4f16.onnx")
    onnx.save(cast_and_scaled(model), out / "cast_mul.onnx")
    onnx.save(left_beside(onnx.load(out / "qdq.onnx"), model), out / "left_beside.onnx")
    onnx.save(rename(onnx.load(out / "dynamic_int8.onnx")), out / "renamed.onnx")


if __name__ == "__main__":
    main()
