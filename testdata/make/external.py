"""The family external: one model embedded and in every form of external data."""

import hashlib

from onnx import helper

from family import Family
from tensors import T, graph, node, raw, value_info, values

WIDTH, HIDDEN = 6, 256

WEIGHTS = {
    "fc1.weight": values(160, WIDTH, HIDDEN),
    "fc1.bias": values(161, HIDDEN),
    "fc2.weight": values(162, HIDDEN, WIDTH),
    "fc2.bias": values(163, WIDTH),
    "scale": values(164),
}
DATA = {name: array.tobytes() for name, array in WEIGHTS.items()}


def packed(alignment=1, start=0):
    """One blob with all tensors, 0xEE between them: (bytes, {name: {offset, length}})."""
    blob, spans = b"\xee" * start, {}
    for name, content in DATA.items():
        blob += b"\xee" * (-(len(blob) - start) % alignment)
        spans[name] = {"offset": len(blob), "length": len(content)}
        blob += content
    return blob, spans


def build(model, place):
    """The model, each tensor with the external keys place(name), or embedded where that is None."""
    tensors = [raw(name, array) for name, array in WEIGHTS.items()]
    for tensor in tensors:
        keys = place(tensor.name)
        if keys:
            tensor.ClearField("raw_data")
            tensor.data_location = T.EXTERNAL
            for key, value in keys.items():
                tensor.external_data.add(key=key, value=str(value))
    nodes = [
        node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "fc2.weight", "fc2.bias"], ["o"]),
        node("Mul", ["o", "scale"], ["y"]),
    ]
    rows = [value_info(name, T.FLOAT, "rows", WIDTH) for name in ("x", "y")]
    main = graph(model, nodes, rows[:1], rows[1:], tensors)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(main, opset_imports=opsets, ir_version=8, producer_name="testdata")


def write(family, model, place, note, files=None):
    """Writes `files` {relative path: bytes} and the model that refers to them."""
    for path, content in (files or {}).items():
        target = family.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    family.path(model).write_bytes(build(model, place).SerializeToString(deterministic=True))
    inputs = {"x": values(101, 8, WIDTH)}
    family.add(model, "onnx.helper", inputs, note=note, external_files=sorted(files or {}))


def write_blob(family, model, note, location=None, blob_and_spans=None, **more_keys):
    """The common case: all tensors in one file, with offset and length."""
    location = location or f"{model}.bin"
    blob, spans = blob_and_spans or packed()
    write(family, model, lambda name: {"location": location, **spans[name], **more_keys}, note, {location: blob})


def make_family(out):
    family = Family(out, "external", "one model embedded and in every form of external data")
    blob, spans = packed()

    def in_one_file(name):
        return {"location": "one_file.bin", **spans[name]}

    def in_own_file(name):
        return {"location": f"per_tensor.{name}"}

    def without_keys(name):
        span = {} if name == "fc1.weight" else {"offset": spans[name]["offset"]}  # fc1.weight lies at 0
        return {"location": "missing_keys.bin", **span}

    write(family, "embedded", lambda name: None, "raw_data")
    write_blob(family, "one_file", "one file, no gaps")
    write_blob(family, "aligned", "one file, 4096-byte alignment, filler between", blob_and_spans=packed(4096))
    write_blob(family, "unaligned", "one byte before the first tensor: no offset is a multiple of 4",
               blob_and_spans=packed(start=1))  # fmt: skip
    write(family, "per_tensor", in_own_file, "a file per tensor, location alone",
          {f"per_tensor.{name}": content for name, content in DATA.items()})  # fmt: skip
    write_blob(family, "subfolder", "a file in a subfolder", location="weights/all.bin")
    write(family, "dot_slash", lambda name: {**in_one_file(name), "location": "./one_file.bin"},
          "./ before the name; shares one_file.bin with another model")  # fmt: skip
    write(family, "missing_keys", without_keys, "length left out everywhere, offset where it is 0",
          {"missing_keys.bin": blob})  # fmt: skip
    write_blob(family, "checksum", "with the SHA-1 of the file", checksum=hashlib.sha1(blob).hexdigest())
    write(family, "mixed", lambda name: in_one_file(name) if name.endswith("weight") else None,
          "weights external, the rest embedded; shares one_file.bin")  # fmt: skip
    write_blob(family, "unicode", "a file name with a space and non-ASCII letters", location="gewichte-ß 重み.bin")
    family.finish()
