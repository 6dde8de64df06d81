"""The family homes: every place and form of a tensor, one small file each.

Every model multiplies its input x by one weight, `shared`, which all files repeat, and
adds what it is about: nodes that may read x and y (= x times shared).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

from family import Family
from tensors import T, graph, node, raw, raw_bytes, typed, value_info, values
from truth import BITS

ROWS, WIDTH = 8, 40
X = values(101, ROWS, WIDTH)


@dataclass
class Model:
    """One file of the family; what is added to x times `shared`."""

    name: str
    note: str
    nodes: list
    initializers: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    feeds: dict = field(default_factory=dict)
    functions: list = field(default_factory=list)
    opset: int = 21
    ir: int = 10
    edit: Callable | None = None  # edit(proto) makes last changes

    def proto(self):
        main = graph(
            self.name,
            [node("MatMul", ["x", "shared"], ["y"]), *self.nodes],
            [rows("x"), *self.inputs],
            [rows("y"), *self.outputs],
            [raw("shared", SHARED), *self.initializers],
        )
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(f.domain, 1) for f in self.functions]
        proto = helper.make_model(
            main, opset_imports=opsets, functions=self.functions, ir_version=self.ir, producer_name="testdata"
        )
        if self.edit:
            self.edit(proto)
        return proto


def weight(seed):
    return values(seed, WIDTH, WIDTH)


SHARED, BIAS = weight(100), weight(150)


def rows(name):
    """An input or output of the shape of x; y and most results have it."""
    return value_info(name, T.FLOAT, ROWS, WIDTH)


def floats(name, *dims):
    return value_info(name, T.FLOAT, *dims)


def times_w():
    """The node of the models that only vary what `w` is."""
    return [node("MatMul", ["y", "w"], ["z"])]


# Subgraphs


def if_branches():
    def branch(kind, seed, addend):
        nodes = [node("MatMul", ["y", "w"], [f"{kind}_product"]), addend]
        return graph(kind, nodes, [], [rows(f"{kind}_out")], [raw("w", weight(seed))])

    branches = {
        "then_branch": branch("then", 110, node("Add", ["then_product", "x"], ["then_out"])),
        "else_branch": branch("else", 111, node("MatMul", ["else_product", "shared"], ["else_out"])),
    }
    return Model(
        "if_branches",
        "one name, two contents in then and else; else also reads an outer weight",
        [node("If", ["flag"], ["z"], **branches)],
        inputs=[value_info("flag", T.BOOL)],
        outputs=[rows("z")],
        feeds={"flag": np.array(True)},
    )


def loop_model(name, note, nodes, initializers):
    """A Loop of three rounds over the state s_in; `nodes` compute s_out from it."""
    body = graph(
        "body",
        [node("Identity", ["go"], ["go_on"]), *nodes],
        [value_info("i", T.INT64), value_info("go", T.BOOL), rows("s_in")],
        [value_info("go_on", T.BOOL), rows("s_out")],
        initializers,
    )
    return Model(
        name,
        note,
        [node("Loop", ["trips", "yes", "y"], ["z"], body=body)],
        [raw("trips", np.array(3)), raw("yes", np.array(True))],
        outputs=[rows("z")],
    )


def loop():
    nodes = [node("MatMul", ["s_in", "loop_w"], ["p"]), node("Tanh", ["p"], ["s_out"])]
    return loop_model("loop", "a weight inside a Loop body", nodes, [raw("loop_w", weight(112))])


def if_in_loop():
    then = graph("inner_then", [node("MatMul", ["s_in", "w"], ["t"])], [], [rows("t")], [raw("w", weight(114))])
    other = graph("inner_else", [node("MatMul", ["s_in", "shared"], ["e"])], [], [rows("e")])
    nodes = [
        node("Mod", ["i", "two"], ["odd"]),
        node("Cast", ["odd"], ["is_odd"], to=T.BOOL),
        node("If", ["is_odd"], ["q"], then_branch=then, else_branch=other),
        node("Tanh", ["q"], ["s_out"]),
    ]
    note = "If inside Loop: a weight two levels deep, and one captured over two levels"
    return loop_model("if_in_loop", note, nodes, [raw("two", np.array(2))])


def scan():
    body = graph(
        "scan_body",
        [
            node("Unsqueeze", ["row", "axis"], ["row2"]),
            node("MatMul", ["row2", "scan_w"], ["p"]),
            node("Squeeze", ["p", "axis"], ["row_out"]),
            node("Add", ["state", "row_out"], ["state_out"]),
        ],
        [floats("state", WIDTH), floats("row", WIDTH)],
        [floats("state_out", WIDTH), floats("row_out", WIDTH)],
        [raw("scan_w", weight(112)), raw("axis", np.array([0]))],
    )
    return Model(
        "scan",
        "the weight of the model loop inside a Scan body, under another name",
        [node("Scan", ["state0", "y"], ["state_end", "z"], body=body, num_scan_inputs=1)],
        [raw("state0", np.zeros(WIDTH, np.float32))],
        outputs=[floats("state_end", WIDTH), rows("z")],
    )


# Constants, functions, sparse tensors


def constants():
    return Model(
        "constants",
        "Constant nodes: value (one equals the shared initializer, its tensor has another name), "
        "value_floats, value_ints, value_float",
        [
            node("Constant", [], ["c"], value=raw("", weight(120))),
            node("Constant", [], ["c_shared"], value=raw("inner_name", SHARED)),
            node("Constant", [], ["bias"], value_floats=values(121, WIDTH).tolist()),
            node("Constant", [], ["permutation"], value_ints=list(range(WIDTH))[::-1]),
            node("Constant", [], ["scale"], value_float=0.5),
            node("MatMul", ["y", "c"], ["a"]),
            node("MatMul", ["a", "c_shared"], ["b"]),
            node("Add", ["b", "bias"], ["d"]),
            node("Gather", ["d", "permutation"], ["e"], axis=1),
            node("Mul", ["e", "scale"], ["z"]),
        ],
        outputs=[rows("z")],
    )


def constant_of_shape():
    return Model(
        "constant_of_shape",
        "a tensor attribute of another operator, and a shape that inference reads",
        [
            node("ConstantOfShape", ["shape"], ["filled"], value=raw("fill", np.array([0.25], np.float32))),
            node("Add", ["y", "filled"], ["z"]),
        ],
        [raw("shape", np.array([ROWS, WIDTH]))],
        outputs=[rows("z")],
    )


def function():
    domain = "testdata.functions"
    project = helper.make_function(
        domain,
        "Project",
        ["input"],
        ["output"],
        [
            node("Constant", [], ["w"], value=raw("w", weight(122))),
            node("MatMul", ["input", "w"], ["output"]),
        ],
        [helper.make_opsetid("", 21)],
    )
    return Model(
        "function",
        "a model-local function, called twice, with a big Constant inside",
        [node("Project", ["y"], ["once"], domain=domain), node("Project", ["once"], ["z"], domain=domain)],
        outputs=[rows("z")],
        functions=[project],
    )


def sparse_positions():
    """Where the values of the sparse tensors lie, counted through the flattened matrix."""
    return np.sort(np.random.default_rng(130).choice(WIDTH * WIDTH, 300, replace=False))


def sparse_tensor(name, indices):
    return onnx.SparseTensorProto(
        dims=[WIDTH, WIDTH], values=raw(name, values(131, len(indices))), indices=raw("", indices.astype(np.int64))
    )


def sparse():
    flat = sparse_positions()
    pairs = np.stack([flat // WIDTH, flat % WIDTH], 1)

    def edit(proto):
        proto.graph.sparse_initializer.extend([sparse_tensor("flat", flat), sparse_tensor("pairs", pairs)])

    return Model(
        "sparse",
        "two sparse initializers of one content: linear indices and index pairs",
        [node("MatMul", ["y", "flat"], ["a"]), node("MatMul", ["a", "pairs"], ["z"])],
        outputs=[rows("z")],
        edit=edit,
    )


def sparse_constant():
    value = sparse_tensor("s", sparse_positions())
    return Model(
        "sparse_constant",
        "a sparse tensor in a Constant node",
        [node("Constant", [], ["s"], sparse_value=value), node("MatMul", ["y", "s"], ["z"])],
        outputs=[rows("z")],
    )


# Element types


COMMON = [
    T.FLOAT, T.DOUBLE, T.BOOL, T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT32, T.UINT32, T.INT64, T.UINT64, T.FLOAT16,
    T.BFLOAT16,
]  # fmt: skip
TYPE_GROUPS = {  # {group: (types, opset, IR version)}
    "common": (COMMON, 21, 10),
    "float8": ([T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ], 21, 10),
    "int4": ([T.UINT4, T.INT4], 21, 10),
    "float4": ([T.FLOAT4E2M1], 23, 11),
    "float8e8m0": ([T.FLOAT8E8M0], 24, 12),
    "int2": ([T.UINT2, T.INT2], 25, 13),
    "float6": ([T.FLOAT6E2M3, T.FLOAT6E3M2], 28, 14),
    "complex": ([T.COMPLEX64, T.COMPLEX128], 21, 10),
}
WIDE = {  # {type: (numpy kind of its parts, typed field)}
    T.FLOAT: ("<f4", "float_data"), T.COMPLEX64: ("<f4", "float_data"),
    T.DOUBLE: ("<f8", "double_data"), T.COMPLEX128: ("<f8", "double_data"),
    T.INT64: ("<i8", "int64_data"), T.UINT64: ("<u8", "uint64_data"), T.UINT32: ("<u4", "uint64_data"),
}  # fmt: skip
INTEGERS = {T.INT32: "<i4", T.INT16: "<i2", T.INT8: "i1", T.UINT16: "<u2", T.UINT8: "u1"}
NARROW_FLOATS = {
    T.FLOAT16: np.float16, T.BFLOAT16: ml_dtypes.bfloat16,
    T.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn, T.FLOAT8E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    T.FLOAT8E5M2: ml_dtypes.float8_e5m2, T.FLOAT8E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
}  # fmt: skip


def element_count(dtype):
    """The least odd number of elements that fills more than 1024 bytes.

    Odd, so that the last byte of a packed type is only partly used.
    """
    return (1024 * 8 // BITS[dtype] + 1) | 1


def sample(dtype):
    """One content of `dtype` as raw bytes and as a typed field."""
    random, count = np.random.default_rng(140 + dtype), element_count(dtype)
    if BITS[dtype] < 8:
        return packed_sample(random, count, BITS[dtype])
    if dtype in WIDE:
        kind, name = WIDE[dtype]
        array = wide_numbers(random, count, dtype, kind)
        return array.tobytes(), {name: array.tolist()}
    array = narrow_numbers(random, count, dtype)
    return array.tobytes(), {"int32_data": array.astype(np.int32).tolist()}


def packed_sample(random, count, bits):
    """Elements narrower than a byte: only the 6-bit types have one entry per element in int32_data."""
    codes = random.integers(0, 2**bits, count).astype(np.uint8)
    planes = np.unpackbits(codes[:, None], axis=1, bitorder="little")[:, :bits]
    packed = np.packbits(planes, bitorder="little")
    return packed.tobytes(), {"int32_data": (codes if bits == 6 else packed).tolist()}


def wide_numbers(random, count, dtype, kind):
    if kind in ("<f4", "<f8"):
        parts = 2 if dtype in (T.COMPLEX64, T.COMPLEX128) else 1
        return random.standard_normal(count * parts).astype(kind)
    array = random.integers(0, 2**31, count).astype(kind)
    array[:2] = [np.iinfo(kind).max, np.iinfo(kind).min]
    return array


def narrow_numbers(random, count, dtype):
    """Numbers of at most 32 bits that int32_data holds; floats as their bit patterns."""
    if dtype == T.BOOL:
        return random.integers(0, 2, count).astype("u1")
    if dtype == T.FLOAT8E8M0:
        return random.integers(120, 134, count).astype("u1")
    if dtype in INTEGERS:
        limits = np.iinfo(INTEGERS[dtype])
        return random.integers(limits.min, limits.max, count).astype(INTEGERS[dtype])
    return random.standard_normal(count).astype(NARROW_FLOATS[dtype]).view("<u2" if BITS[dtype] == 16 else "u1")


def types_model(group, form):
    dtypes, opset, ir = TYPE_GROUPS[group]
    tensors, nodes, outputs = [], [], []
    for dtype in dtypes:
        name, count = T.DataType.Name(dtype).lower(), element_count(dtype)
        data, typed_field = sample(dtype)
        content = {"raw_data": data} if form == "raw" else typed_field
        tensors.append(T(name=name, data_type=dtype, dims=[count], **content))
        if group != "complex":  # no operator that ONNX Runtime knows reads them: left unused
            nodes.append(node("Cast", [name], [f"{name}_out"], to=T.FLOAT))
            outputs.append(floats(f"{name}_out", count))
    note = f"{', '.join(t.name for t in tensors)} in {'raw_data' if form == 'raw' else 'typed fields'}"
    return Model(f"types_{group}_{form}", note, nodes, tensors, outputs=outputs, opset=opset, ir=ir)


def types():
    return [types_model(group, form) for group in TYPE_GROUPS for form in ("raw", "typed")]


# Small cases


def strings():
    words = T(name="words", data_type=T.STRING, dims=[3], string_data=["é".encode(), b"", b"weights" * 300])
    return Model(
        "strings",
        "a string initializer: cannot be shared or external",
        [node("Identity", ["words"], ["words_out"])],
        [words],
        outputs=[value_info("words_out", T.STRING, 3)],
    )


def empty_and_scalar():
    return Model(
        "empty_and_scalar",
        "empty tensors with and without raw_data, scalars of shape [] and [1]",
        [
            node("Identity", ["empty_raw"], ["e1"]),
            node("Identity", ["empty_bare"], ["e2"]),
            node("Mul", ["y", "scalar"], ["a"]),
            node("Mul", ["a", "scalar_typed"], ["b"]),
            node("Mul", ["b", "one"], ["z"]),
        ],
        [
            raw_bytes("empty_raw", T.FLOAT, [0], b""),
            typed("empty_bare", T.FLOAT, [0, 4]),
            raw("scalar", np.array(2.0, np.float32)),
            typed("scalar_typed", T.FLOAT, [], float_data=[3.0]),
            raw("one", np.array([4.0], np.float32)),
        ],
        outputs=[floats("e1", 0), floats("e2", 0, 4), rows("z")],
    )


def overridable():
    return Model(
        "overridable",
        "w is an initializer and a graph input: a default that a caller may replace",
        times_w(),
        [raw("w", BIAS)],
        inputs=[floats("w", WIDTH, WIDTH)],
        outputs=[rows("z")],
        feeds={"w": BIAS},
    )


def ir3_all_inputs():
    return Model(
        "ir3_all_inputs",
        "IR version 3: every initializer had to be a graph input",
        times_w(),
        [raw("w", BIAS)],
        inputs=[floats("shared", WIDTH, WIDTH), floats("w", WIDTH, WIDTH)],
        outputs=[rows("z")],
        feeds={"w": BIAS, "shared": SHARED},
        opset=8,
        ir=3,
    )


def initializer_is_output():
    return Model(
        "initializer_is_output",
        "w is an initializer and a graph output",
        times_w(),
        [raw("w", BIAS)],
        outputs=[rows("z"), floats("w", WIDTH, WIDTH)],
    )


def same_bytes():
    bits = weight(151)
    return Model(
        "same_bytes",
        f"one content as [{WIDTH},{WIDTH}] twice, [{WIDTH**2}], int32 and uint8; and its transpose",
        [
            node("MatMul", ["y", "square"], ["z"]),
            node("Cast", ["as_int"], ["i"], to=T.FLOAT),
            node("Identity", ["flat"], ["f"]),
            node("Cast", ["as_bytes"], ["b"], to=T.FLOAT),
            node("MatMul", ["z", "square_again"], ["z2"]),
            node("MatMul", ["z2", "turned"], ["z3"]),
        ],
        [
            raw("square", bits),
            raw("square_again", bits),
            raw("flat", bits.reshape(-1)),
            raw("as_int", bits.view(np.int32)),
            raw("as_bytes", bits.reshape(-1).view(np.uint8)),
            raw("turned", np.ascontiguousarray(bits.T)),
        ],
        outputs=[rows("z3"), floats("i", WIDTH, WIDTH), floats("f", WIDTH**2), floats("b", WIDTH**2 * 4)],
    )


def nan_and_zero():
    def pattern(*words):
        return np.array(words, np.uint32).view(np.float32).repeat(64)

    return Model(
        "nan_and_zero",
        "equal as numbers, different as bytes: NaN payloads and the sign of zero must survive",
        [node("Identity", ["p"], ["p_out"]), node("Identity", ["q"], ["q_out"])],
        [
            raw("p", pattern(0x7FC00000, 0x7FC00001, 0x80000000, 0x00000000)),
            raw("q", pattern(0x7FC00001, 0x7FC00000, 0x00000000, 0x80000000)),
        ],
        outputs=[floats("p_out", 256), floats("q_out", 256)],
    )


def training_info():
    def edit(proto):
        step = graph(
            "step",
            [node("Sub", ["w", "w_step"], ["w_new"])],
            [],
            [floats("w_new", WIDTH, WIDTH)],
            [raw("w_step", weight(152))],
        )
        training = proto.training_info.add(algorithm=step)
        training.update_binding.add(key="w", value="w_new")

    note = "a training graph with an initializer of its own"
    return Model("training_info", note, times_w(), [raw("w", BIAS)], outputs=[rows("z")], edit=edit)


def metadata():
    def edit(proto):
        proto.metadata_props.add(key="about", value="kept by every rewrite")
        proto.graph.doc_string = "kept too"
        proto.graph.initializer[1].doc_string = "doc of w"
        annotation = proto.graph.quantization_annotation.add(tensor_name="w")
        annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w_scale")

    return Model(
        "metadata",
        "metadata_props, doc strings, a quantization annotation that names a tensor no node reads",
        times_w(),
        [raw("w", BIAS), raw("w_scale", np.array(0.1, np.float32))],
        outputs=[rows("z")],
        edit=edit,
    )


def all_models():
    return [
        if_branches(), loop(), scan(), if_in_loop(),
        constants(), constant_of_shape(), function(), sparse(), sparse_constant(),
        *types(),
        strings(), empty_and_scalar(), overridable(), ir3_all_inputs(), initializer_is_output(), same_bytes(),
        nan_and_zero(), training_info(), metadata(),
    ]  # fmt: skip


def make_family(out):
    family = Family(out, "homes", "every place and form of a tensor, one small file each; all repeat one weight")
    for model in all_models():
        family.path(model.name).write_bytes(model.proto().SerializeToString(deterministic=True))
        family.add(model.name, "onnx.helper", {"x": X, **model.feeds}, note=model.note)
    family.finish()
