"""Writes testdata/quantised: one small model, and what ONNX Runtime's quantisers make of it.

    python testdata/make/quantised.py testdata

Real tools make every file but float32.onnx: onnxruntime.quantization (dynamic, QDQ, QOperator), its
MatMulNBits quantiser and the float16 converter of onnxruntime.transformers. `renamed.onnx` is
dynamic_int8.onnx with every initializer under another name. Needs numpy, onnx and onnxruntime (see
requirements.txt).
"""

import sys
import tempfile
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
        numpy_helper.from_array(np.array([1, -1], np.int64), "row"),
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
        [weight for weight in weights if weight.name != "row"])
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
    onnx.save(rename(onnx.load(out / "dynamic_int8.onnx")), out / "renamed.onnx")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory():
        main()
