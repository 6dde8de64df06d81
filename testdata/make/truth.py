"""Facts about ONNX files, read from the files themselves.

The families' family.json comes from here; alone it prints the sizes of any model files:

    python truth.py a.onnx b.onnx

A *home* is one place where a model keeps a tensor: a graph initializer at any depth of
subgraph, a Constant node or another tensor attribute, a value inside a model-local
function, the two halves of a sparse tensor.
"""

import hashlib
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

T = TensorProto

SMALL = 1024  # tensors below this many bytes stay inline: the figures "over 1023 bytes" leave them out

# Bits per element; complex numbers count both halves.
BITS = {
    T.FLOAT: 32, T.UINT8: 8, T.INT8: 8, T.UINT16: 16, T.INT16: 16, T.INT32: 32, T.INT64: 64, T.BOOL: 8,
    T.FLOAT16: 16, T.DOUBLE: 64, T.UINT32: 32, T.UINT64: 64, T.COMPLEX64: 64, T.COMPLEX128: 128, T.BFLOAT16: 16,
    T.FLOAT8E4M3FN: 8, T.FLOAT8E4M3FNUZ: 8, T.FLOAT8E5M2: 8, T.FLOAT8E5M2FNUZ: 8, T.FLOAT8E8M0: 8,
    T.UINT4: 4, T.INT4: 4, T.FLOAT4E2M1: 4, T.UINT2: 2, T.INT2: 2, T.FLOAT6E2M3: 6, T.FLOAT6E3M2: 6,
}  # fmt: skip


@dataclass(frozen=True)
class Home:
    """One tensor at one place of one model."""

    scope: str  # "" = main graph, "/if_node.then_branch", "function:domain:name"
    name: str
    kind: str  # initializer | constant | attribute | list (of floats or ints) | sparse
    dtype: int
    dims: tuple
    data: bytes  # canonical: little endian, packed as in raw_data

    @cached_property
    def hash(self):
        return content_hash(self.data)

    @cached_property
    def transposed_hash(self):
        """The hash of the transpose of a matrix, or None for vectors and for types narrower than a byte."""
        if len(self.dims) != 2 or min(self.dims) < 2 or BITS.get(self.dtype, 0) < 8:
            return None
        array = np.frombuffer(self.data, onnx.helper.tensor_dtype_to_np_dtype(self.dtype)).reshape(self.dims)
        return content_hash(np.ascontiguousarray(array.T).tobytes())


def content_hash(data):
    return hashlib.sha256(data).hexdigest()


# Reading tensors


def tensor_bytes(t, folder):
    """The canonical bytes of `t`, whichever field or file holds them. Strings count as none."""
    if t.data_type == T.STRING:
        return b""
    if t.data_location == T.EXTERNAL:
        return external_bytes(t, folder)
    if t.HasField("raw_data"):
        return t.raw_data
    for field, dtype in (("float_data", "<f4"), ("double_data", "<f8"), ("int64_data", "<i8")):
        if getattr(t, field):
            return np.array(getattr(t, field), dtype).tobytes()
    if t.uint64_data:
        return np.array(t.uint64_data, "<u4" if t.data_type == T.UINT32 else "<u8").tobytes()
    return int32_field_bytes(t)


def external_bytes(t, folder):
    keys = {e.key: e.value for e in t.external_data}
    size = (int(np.prod(t.dims, dtype=np.int64)) * BITS[t.data_type] + 7) // 8
    with open(folder / keys["location"], "rb") as file:
        file.seek(int(keys.get("offset", 0)))
        return file.read(int(keys.get("length", size)))


def int32_field_bytes(t):
    words = np.array(t.int32_data, "<i4").view("u1").reshape(-1, 4)
    if BITS[t.data_type] == 6:
        # The one type whose entries are elements while raw_data is packed, low bits first.
        bits = np.unpackbits(words[:, :1], axis=1, bitorder="little")[:, :6]
        return np.packbits(bits, bitorder="little").tobytes()
    # Every entry holds one element, or one byte of packed 2- or 4-bit elements.
    return words[:, : max(1, BITS[t.data_type] // 8)].tobytes()


# Finding homes


def find_homes(path):
    """All homes of the model file `path`."""
    finder = HomeFinder(Path(path).parent)
    finder.visit_model(onnx.load(path, load_external_data=False))
    return finder.homes


class HomeFinder:
    def __init__(self, folder):
        self.folder = folder  # that external locations are relative to
        self.homes = []

    def visit_model(self, model):
        self.visit_graph("", model.graph)
        for index, training in enumerate(model.training_info):
            self.visit_graph(f"training_info_{index}.initialization", training.initialization)
            self.visit_graph(f"training_info_{index}.algorithm", training.algorithm)
        for function in model.functions:
            self.visit_nodes(f"function:{function.domain}:{function.name}", function.node)

    def visit_graph(self, scope, graph):
        for tensor in graph.initializer:
            self.add(scope, tensor.name, "initializer", tensor)
        for sparse in graph.sparse_initializer:
            self.add_sparse(scope, sparse.values.name, sparse)
        self.visit_nodes(scope, graph.node)

    def visit_nodes(self, scope, nodes):
        for index, node in enumerate(nodes):
            for attribute in node.attribute:
                self.visit_attribute(scope, node, node.name or f"{node.op_type}_{index}", attribute)

    def visit_attribute(self, scope, node, node_name, attribute):
        constant = node.op_type == "Constant"
        name = node.output[0] if constant else f"{node_name}.{attribute.name}"
        if attribute.type == AttributeProto.TENSOR:
            self.add(scope, name, "constant" if constant else "attribute", attribute.t)
        elif attribute.type == AttributeProto.SPARSE_TENSOR:
            self.add_sparse(scope, attribute.sparse_tensor.values.name or name, attribute.sparse_tensor)
        elif attribute.type == AttributeProto.GRAPH:
            self.visit_graph(f"{scope}/{node_name}.{attribute.name}", attribute.g)
        elif constant and attribute.type == AttributeProto.FLOATS:
            self.add_list(scope, name, T.FLOAT, np.array(attribute.floats, "<f4"))
        elif constant and attribute.type == AttributeProto.INTS:
            self.add_list(scope, name, T.INT64, np.array(attribute.ints, "<i8"))

    def add(self, scope, name, kind, tensor):
        data = tensor_bytes(tensor, self.folder)
        self.homes.append(Home(scope, name, kind, tensor.data_type, tuple(tensor.dims), data))

    def add_sparse(self, scope, name, sparse):
        self.add(scope, f"{name}/values", "sparse", sparse.values)
        self.add(scope, f"{name}/indices", "sparse", sparse.indices)

    def add_list(self, scope, name, dtype, array):
        self.homes.append(Home(scope, name, "list", dtype, array.shape, array.tobytes()))


# Figures


def sizes(models):
    """Byte counts over {model name: [Home]}; the figures that a dedupe tool must reach."""
    homes = [home for own in models.values() for home in own]
    length = {home.hash: len(home.data) for home in homes}
    users = defaultdict(set)
    for model, own in models.items():
        for home in own:
            users[home.hash].add(model)
    twins = {frozenset((h.hash, h.transposed_hash)) for h in homes if h.transposed_hash in length}
    by_kind = defaultdict(int)
    for home in homes:
        by_kind[kind_and_place(home)] += len(home.data)
    return {
        "total_bytes": sum(len(h.data) for h in homes),
        "distinct_bytes": sum(length.values()),
        "distinct_bytes_of_tensors_over_1023_bytes": sum(n for n in length.values() if n >= SMALL),
        "total_bytes_of_tensors_over_1023_bytes": sum(len(h.data) for h in homes if len(h.data) >= SMALL),
        "used_by_two_or_more_models_bytes": sum(n for key, n in length.items() if len(users[key]) > 1),
        "transposed_twin_bytes": sum(length[next(iter(pair))] for pair in twins if len(pair) == 2),
        "bytes_by_kind": dict(sorted(by_kind.items())),
    }


def kind_and_place(home):
    """For example "initializer", "initializer in subgraph", "constant in function"."""
    if not home.scope:
        return home.kind
    return f"{home.kind} in {home.scope.split(':')[0].split('/')[0] or 'subgraph'}"


def classes_against(base, task, lora_names=()):
    """Sorts the homes of `task` by what they are relative to `base`: {class: {tensors, bytes}}.

    `lora_names` are tensors of the task known to be LoRA factors; all else is decided by
    bytes. One class each, first match: same (name and bytes), renamed, transposed, lora,
    replaced (name and shape exist in the base with other bytes), new.
    """
    by_name = {(h.scope, h.name): h for h in base}
    hashes = {h.hash for h in base}
    transposed = {h.transposed_hash for h in base} - {None}

    def class_of(home):
        twin = by_name.get((home.scope, home.name))
        if twin and twin.data == home.data:
            return "same"
        if home.hash in hashes:
            return "renamed"
        if home.hash in transposed:
            return "transposed"
        if home.name in lora_names:
            return "lora"
        return "replaced" if twin and twin.dims == home.dims else "new"

    result = {}
    for home in task:
        entry = result.setdefault(class_of(home), {"tensors": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["bytes"] += len(home.data)
    return dict(sorted(result.items()))


def find_array(homes, array):
    """The home that holds `array` or its transpose with equal bytes: (name, layout), or (None, None)."""
    for layout, form in (("as is", array), ("transposed", array.T)):
        wanted = np.ascontiguousarray(form).tobytes()
        for home in homes:
            if home.data == wanted and home.dims == form.shape:
                return home.name, layout
    return None, None


if __name__ == "__main__":
    files = {path: find_homes(path) for path in sys.argv[1:]}
    print(json.dumps({"homes": {path: len(own) for path, own in files.items()}, **sizes(files)}, indent=1))
