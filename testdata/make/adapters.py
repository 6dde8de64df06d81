"""adapters/: the LoRA of two tasks of t5-lora as PEFT saves it, and a file as ONNX Runtime writes it."""

import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from peft import LoraConfig, get_peft_model

from lora import TASKS, adapted_layers
from t5 import make_t5


def load_factors(family, task):
    """{module path: (A, B)} in PyTorch's layout, taken from the exported model of `task`."""
    with open(os.path.join(family, "family.json"), encoding="utf-8") as file:
        pairs = json.load(file)["tasks"][task]["lora"]["pairs"]
    graph = onnx.load(os.path.join(family, f"{task}.onnx")).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    def read(pair, factor):
        array = arrays[pair[factor]]
        return np.ascontiguousarray(array.T if pair[f"{factor}_layout"] == "transposed" else array)

    return {pair["module"]: (read(pair, "a"), read(pair, "b")) for pair in pairs}


def save_adapter(family, task, folder):
    model = get_peft_model(make_t5(), LoraConfig(**TASKS[task]))
    factors = load_factors(family, task)
    with torch.no_grad():
        for module, layer in adapted_layers(model).items():
            a, b = factors.pop(module)
            layer.lora_A["default"].weight.copy_(torch.from_numpy(a))
            layer.lora_B["default"].weight.copy_(torch.from_numpy(b))
    assert not factors
    config = model.peft_config["default"]
    config.base_model_name_or_path = "t5-lora/base"
    config.target_modules = sorted(config.target_modules)
    model.save_pretrained(folder, save_embedding_layers=False)
    os.remove(os.path.join(folder, "README.md"))


def save_stock(path):
    adapter = onnxruntime.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    parameters = {
        "layer.lora_A.weight": np.arange(6, dtype=np.float32).reshape(3, 2) / 2,
        "layer.lora_B.weight": np.arange(10, dtype=np.float16).reshape(2, 5),
        "ids": np.array([7, -1], dtype=np.int64),
    }
    adapter.set_parameters({n: onnxruntime.OrtValue.ortvalue_from_numpy(v) for n, v in parameters.items()})
    adapter.export_adapter(path)


def make_family(out):
    """Reads the family t5-lora in `out`, which must be there."""
    folder = os.path.join(out, "adapters")
    shutil.rmtree(folder, ignore_errors=True)
    for task in ("summarize", "classify"):
        save_adapter(os.path.join(out, "t5-lora"), task, os.path.join(folder, task))
    save_stock(os.path.join(folder, "stock.onnx_adapter"))
