"""One family on disk: its models, their test data and family.json."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

import truth

ort.set_default_logger_severity(3)


class Family:
    """One folder of models, their test data and their truth.

    family.json is computed from the written files in finish(); the callers add only what
    no file says: notes, and how a task was trained.
    """

    def __init__(self, out, name, shows):
        self.folder = Path(out) / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.record = {"family": name, "shows": shows, "models": {}, "tasks": {}}

    def path(self, model):
        return self.folder / f"{model}.onnx"

    def homes(self, model):
        return truth.find_homes(self.path(model))

    def add(self, model, exporter, inputs, **facts):
        """Registers the written file `model`, runs it once and keeps inputs and outputs as its test data."""
        proto = onnx.load(self.path(model), load_external_data=False)
        self.record["models"][model] = {
            "file": f"{model}.onnx",
            "exporter": exporter,
            "opset": {o.domain or "ai.onnx": o.version for o in proto.opset_import},
            "ir_version": proto.ir_version,
            "nodes": len(proto.graph.node),
            **facts,
            "onnx_checker": self.verdict("accepts", "rejects", lambda: onnx.checker.check_model(self.path(model))),
            "onnxruntime": self.verdict("runs", "fails", lambda: write_test_data(self.path(model), inputs)),
        }

    def verdict(self, good, bad, action):
        """Words for what `action` does: `good`, or `bad` with the first line of its error."""
        try:
            action()
            return good
        except Exception as error:
            line = str(error).strip().splitlines()[0]
            return f"{bad}: {line.replace(f'{self.folder}/', '').rstrip(' :')}"

    def task(self, model, base, lora=None):
        """Adds the truth of `model` against the model `base`; `lora`: the truth of its adapter, if it has one."""
        entry = {"base": base}
        if lora:
            entry["lora"] = lora
        factors = {pair[key] for pair in (lora or {}).get("pairs", []) for key in ("a", "b") if key in pair}
        entry["tensors_by_class"] = truth.classes_against(self.homes(base), self.homes(model), factors)
        self.record["tasks"][model] = entry

    def finish(self):
        homes = {model: self.homes(model) for model in self.record["models"]}
        for model, entry in self.record["models"].items():
            entry["file_bytes"] = self.path(model).stat().st_size
            own = truth.sizes({model: homes[model]})
            entry.update({key: own[key] for key in ("total_bytes", "distinct_bytes")})
        sizes = self.record["sizes"] = truth.sizes(homes)
        text = json.dumps(self.record, indent=1, ensure_ascii=False)
        (self.folder / "family.json").write_text(text + "\n", encoding="utf-8")
        print(
            f"{self.record['family']}: {len(homes)} models, "
            f"{sizes['total_bytes']} bytes of tensors, {sizes['distinct_bytes']} distinct"
        )


def open_session(path):
    """The model in ONNX Runtime on CPU with default options."""
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run(session, feeds):
    """{output name: value}, in the order of the model."""
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def write_test_data(path, inputs):
    """Runs the model at `path` and writes <path without .onnx>/test_data_set_0/{input,output}_N.pb."""
    session = open_session(path)
    fed = {i.name: np.asarray(inputs[i.name]) for i in session.get_inputs()}
    results = run(session, fed)
    folder = path.with_suffix("") / "test_data_set_0"
    folder.mkdir(parents=True)
    for kind, values in (("input", fed), ("output", results)):
        for index, (name, value) in enumerate(values.items()):
            tensor = numpy_helper.from_array(np.asarray(value), name)
            (folder / f"{kind}_{index}.pb").write_bytes(tensor.SerializeToString(deterministic=True))
