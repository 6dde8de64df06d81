"""Makes what people ship of one model: float16, and ONNX Runtime's dynamic, QDQ, QOperator and 4-bit forms of it.

    python3 testdata/make/variants.py MODEL.onnx OUT [SIZE]

OUT gets the model itself as float32.onnx and its variants. Those that are calibrated see random numbers, tokens 0 and 1
where an input takes integers, SIZE (16) where a dimension has no size: weights do not depend on it. Needs numpy, onnx,
onnx-ir and onnxruntime (see requirements.txt).
"""
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic,
                                      quantize_static)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


class Feeds(CalibrationDataReader):
    def __init__(self, model: Path, size: int):
        self.inputs = onnxruntime.InferenceSession(str(model)).get_inputs()
        self.size = size
        self.left = 3

    def get_next(self):
        if self.left == 0:
            return None
        self.left -= 1
        random = np.random.default_rng(self.left)
        feeds = {}
        for value in self.inputs:
            shape = [d if isinstance(d, int) else self.size if i else 1 for i, d in enumerate(value.shape)]
            numbers = random.standard_normal(shape) if value.type == "tensor(float)" else random.integers(0, 2, shape)
            feeds[value.name] = numbers.astype(TYPES[value.type])
        return feeds


def float16(source: Path, target: Path):
    """Weights cast, as the file holds them; it need not run."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    onnx.save(model, target)


def main(source: Path, out: Path, size: int = 16):
    logging.disable(logging.WARNING)
    out.mkdir(parents=True)
    shutil.copy(source, out / "float32.onnx")
    float16(source, out / "float16.onnx")
    quantize_dynamic(source, out / "dynamic_int8.onnx", weight_type=QuantType.QInt8)
    quantize_dynamic(source, out / "dynamic_uint8_channel.onnx", weight_type=QuantType.QUInt8, per_channel=True)
    for name, how in {"qdq": {}, "qdq_channel": {"per_channel": True},
                      "qoperator": {"quant_format": QuantFormat.QOperator}}.items():
        quantize_static(source, out / f"{name}.onnx", Feeds(source, size), activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, **({"quant_format": QuantFormat.QDQ} | how))
    for name, block, symmetric in (("q4", 32, True), ("q4_asymmetric", 128, False)):
        quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=block, is_symmetric=symmetric)
        quantizer.process()
        onnx.save(quantizer.model.model, out / f"{name}.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
