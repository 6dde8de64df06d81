"""A family at the size of T5-base: a base and four tasks with merged LoRA, all weights random.

    python testdata/make/t5_base_size.py FOLDER

Needs numpy and onnx only. Writes base.onnx, four tasks of 0.99 GB each in float32 and truth.json with the rank that
went into every changed weight. Not committed: too large.

Shapes, names and layouts are those of the TorchScript exporter for T5-base: 12 + 12 layers, width 768, 12 heads, a
vocabulary of 32128, weights of MatMul turned and numbered, the tied lm_head written a second time. What the sizes do
not need is left out: masks of padding and relative positions.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

LAYERS, WIDTH, HEADS, INNER, VOCABULARY = 12, 768, 12, 3072, 32128
TASKS = {  # name: rank, alpha, modules
    "summarize": (16, 32, "qv"),
    "translate": (8, 16, "qv"),
    "classify": (16, 32, "qkvo"),
    "answer": (12, 24, "qv"),
}
STD = {"q": (WIDTH * WIDTH / HEADS) ** -0.5, "wo": INNER**-0.5}  # as T5 starts; others: WIDTH ** -0.5


class Graph:
    """Nodes and weights, in the order in which they are added."""

    def __init__(self):
        self.nodes, self.weights, self.modules = [], {}, {}
        self.taken = Counter()
        self.random = np.random.default_rng(220)
        self.next = 3000

    def node(self, scope, op, *inputs, **attributes):
        name = f"{scope}/{op}"
        self.taken[name] += 1
        if self.taken[name] > 1:
            name += f"_{self.taken[name] - 1}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_output_0"], name=name, **attributes))
        return self.nodes[-1].output[0]

    def constant(self, scope, value):
        return self.node(scope, "Constant", value=numpy_helper.from_array(np.array(value)))

    def weight(self, name, shape, std):
        self.weights[name] = self.random.standard_normal(shape, dtype=np.float32) * np.float32(std)
        return name

    def linear(self, scope, x, rows, cols):
        """x times a weight [rows, cols], stored as MatMul reads it."""
        name = f"onnx::MatMul_{self.next}"
        self.next += 1
        self.modules[scope] = self.weight(name, (rows, cols), STD.get(scope.rsplit("/", 1)[1], WIDTH**-0.5))
        return self.node(scope, "MatMul", x, name)


def norm(g, scope, x):
    name = scope.strip("/").replace("/", ".") + ".weight"
    g.weights[name] = np.ones(WIDTH, np.float32) + g.random.standard_normal(WIDTH, dtype=np.float32) * np.float32(0.1)
    mean = g.node(scope, "ReduceMean", g.node(scope, "Pow", x, g.constant(scope, np.float32(2))), axes=[-1])
    root = g.node(scope, "Sqrt", g.node(scope, "Add", mean, g.constant(scope, np.float32(1e-6))))
    return g.node(scope, "Mul", name, g.node(scope, "Div", x, root))


def attention(g, scope, x, source, mask=None):
    """What the positions of `x` take from those of `source`."""

    def heads(module, of, axes):
        flat = g.linear(f"{scope}/{module}", of, WIDTH, WIDTH)
        shape = g.constant(scope, np.array([0, -1, HEADS, WIDTH // HEADS]))
        return g.node(scope, "Transpose", g.node(scope, "Reshape", flat, shape), perm=axes)

    q = heads("q", x, [0, 2, 1, 3])
    k = heads("k", source, [0, 2, 3, 1])
    v = heads("v", source, [0, 2, 1, 3])
    scores = g.node(scope, "MatMul", q, k)
    if mask:
        scores = g.node(scope, "Add", scores, mask)
    mixed = g.node(scope, "MatMul", g.node(scope, "Softmax", scores, axis=-1), v)
    flat = g.node(scope, "Transpose", mixed, perm=[0, 2, 1, 3])
    flat = g.node(scope, "Reshape", flat, g.constant(scope, np.array([0, -1, WIDTH])))
    return g.linear(f"{scope}/o", flat, WIDTH, WIDTH)


def feed_forward(g, scope, x):
    return g.linear(f"{scope}/wo", g.node(scope, "Relu", g.linear(f"{scope}/wi", x, WIDTH, INNER)), INNER, WIDTH)


def future_mask(g, ids):
    """[target, target]: a large negative number where a position would see a later one."""
    length = g.node("/decoder", "Gather", g.node("/decoder", "Shape", ids), g.constant("/decoder", np.array([1])))
    shape = g.node("/decoder", "Concat", length, length, axis=0)
    low = numpy_helper.from_array(np.array([-1e9], np.float32))
    return g.node(
        "/decoder", "Trilu", g.node("/decoder", "ConstantOfShape", shape, value=low),
        g.constant("/decoder", np.array(1)), upper=1,
    )  # fmt: skip


def stack(g, side, ids, encoded=None):
    x = g.node(f"/{side}/embed_tokens", "Gather", "shared.weight", ids)
    mask = future_mask(g, ids) if encoded else None
    for block in range(LAYERS):
        layer = 0

        def add(x, kind, what):
            nonlocal layer
            scope = f"/{side}/block.{block}/layer.{layer}"
            layer += 1
            return g.node(scope, "Add", x, what(f"{scope}/{kind}", norm(g, f"{scope}/layer_norm", x)))

        x = add(x, "SelfAttention", lambda scope, y: attention(g, scope, y, y, mask))
        if encoded:
            x = add(x, "EncDecAttention", lambda scope, y: attention(g, scope, y, encoded))
        x = add(x, "DenseReluDense", lambda scope, y: feed_forward(g, scope, y))
    return norm(g, f"/{side}/final_layer_norm", x)


def make_base():
    g = Graph()
    g.weight("shared.weight", (VOCABULARY, WIDTH), 1)
    encoded = stack(g, "encoder", "input_ids")
    decoded = stack(g, "decoder", "decoder_input_ids", encoded)
    scaled = g.node("", "Mul", decoded, g.constant("", np.float32(WIDTH**-0.5)))
    g.weights[f"onnx::MatMul_{g.next}"] = np.ascontiguousarray(g.weights["shared.weight"].T)
    g.nodes.append(helper.make_node("MatMul", [scaled, f"onnx::MatMul_{g.next}"], ["logits"], name="/lm_head/MatMul"))
    return g


def save(g, weights, path):
    def tokens(name, length):
        return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length])

    graph = helper.make_graph(
        g.nodes, "main_graph", [tokens("input_ids", "source"), tokens("decoder_input_ids", "target")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "target", VOCABULARY])],
    )  # fmt: skip
    for name, value in weights.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


def merge(g, seed, rank, alpha, modules):
    """Returns all weights with LoRA added to those of `modules`, in float32 as PEFT does, and what was changed."""
    random = np.random.default_rng(seed)
    weights, changed = dict(g.weights), {}
    for scope, name in g.modules.items():
        if "Attention/" not in scope or scope[-1] not in modules:
            continue
        rows, cols = weights[name].shape
        a = random.standard_normal((rows, rank), dtype=np.float32) * np.float32(rows**-0.5)
        b = random.standard_normal((rank, cols), dtype=np.float32) * np.float32(0.003)
        weights[name] = weights[name] + (a @ b) * np.float32(alpha / rank)
        changed[name] = rank
    return weights, changed


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    g = make_base()
    save(g, g.weights, out / "base.onnx")
    truth = {}
    for seed, (task, (rank, alpha, modules)) in enumerate(TASKS.items()):
        weights, truth[task] = merge(g, seed, rank, alpha, modules)
        save(g, weights, out / f"{task}.onnx")
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    parameters = sum(w.size for w in g.weights.values()) - VOCABULARY * WIDTH
    print(f"{parameters / 1e6:.1f} M parameters, {len(g.nodes)} nodes, {len(TASKS)} tasks in {out}")


if __name__ == "__main__":
    main()
