"""Short names for building models by hand with onnx.helper."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

T = TensorProto


def values(seed, *shape):
    """Random float32 numbers, the same every time."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def raw(name, array):
    """A tensor with raw_data."""
    return numpy_helper.from_array(np.asarray(array), name)


def raw_bytes(name, dtype, dims, data):
    """A tensor with raw_data, for types and contents that numpy cannot name."""
    return TensorProto(name=name, data_type=dtype, dims=dims, raw_data=data)


def typed(name, dtype, dims, **field):
    """A tensor whose values lie in a typed field, for example typed("w", T.BOOL, [2], int32_data=[0, 1])."""
    return TensorProto(name=name, data_type=dtype, dims=dims, **field)


def value_info(name, dtype, *dims):
    return helper.make_tensor_value_info(name, dtype, dims)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=f"{outputs[0]}_{op}", **attributes)


def graph(name, nodes, inputs, outputs, initializers=()):
    return helper.make_graph(nodes, name, inputs, outputs, list(initializers))
