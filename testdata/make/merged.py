"""The family t5-lora-merged: LoRA tasks merged into the weights, in float32 and float16, by two exporters."""

import contextlib
import io
import warnings

import onnx
import torch

import truth
from family import Family
from lora import TASKS, Graph, adapted_layers, effective_rank, trained
from t5 import AXES, export, make_t5, tokens

TORCHSCRIPT_BASE = "../t5-lora/base"


class WithMean(torch.nn.Module):
    """The graph and an output more, the mean of what the encoder says."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        result = self.model(
            input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False
        )
        return result.logits, result.encoder_last_hidden_state.mean(1)


def export_dynamo(family, name, model):
    """Exports with the torch.export based exporter, without its stack traces: they name local paths."""
    path, inputs = family.path(name), tokens()
    shapes = tuple({dim: torch.export.Dim.DYNAMIC for dim in AXES[key]} for key in inputs)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Graph(model).eval(), tuple(inputs.values()), str(path), dynamo=True, external_data=False, verbose=False,
            input_names=list(inputs), output_names=["logits"], dynamic_shapes=shapes,
        )  # fmt: skip
    proto = onnx.load(path)
    for owner in [proto.graph, *proto.functions]:
        for node in owner.node:
            del node.metadata_props[:]
        for value in owner.value_info:
            del value.metadata_props[:]
    path.write_bytes(proto.SerializeToString(deterministic=True))
    family.add(name, "dynamo", {key: value.numpy() for key, value in inputs.items()})


def merged(task, half=False):
    """The trained task merged by PEFT, its weights by module, and the ranks of their updates.

    In float16 PEFT rounds twice: the product B·A, and the sum.
    """
    model = trained(task)
    layers = adapted_layers(model)
    ranks = {
        module: effective_rank(layer.lora_A["default"].weight.numpy(), layer.lora_B["default"].weight.numpy())
        for module, layer in layers.items()
    }
    plain = (model.half() if half else model).merge_and_unload()
    return plain, {module: plain.get_submodule(module).weight.numpy() for module in layers}, ranks


def add_truth(family, name, task, base, weights, ranks, base_model):
    base_homes, task_homes = family.homes(base), family.homes(name)
    pairs = [
        {
            "module": module,
            "rank": TASKS[task]["r"],
            "effective_rank": ranks[module],
            "base_tensor": truth.find_array(base_homes, base_model.get_submodule(module).weight.detach().numpy())[0],
            "task_tensor": truth.find_array(task_homes, weight)[0],
        }
        for module, weight in weights.items()
        if ranks[module] > 0
    ]
    family.task(name, base, {"rank": TASKS[task]["r"], "merged": True, "pairs": pairs})


def make_family(out):
    family = Family(out, "t5-lora-merged", "the tasks of t5-lora merged, in float32 and float16, by two exporters")
    export_dynamo(family, "base", make_t5())
    model, weights, ranks = merged("translate")
    export_dynamo(family, "translate", model)
    add_truth(family, "translate", "translate", "base", weights, ranks, make_t5())

    model, weights, ranks = merged("summarize")
    export(family, "summarize", WithMean(model), tokens(), ["logits", "mean"], {**AXES, "mean": {0: "batch"}})
    add_truth(family, "summarize", "summarize", TORCHSCRIPT_BASE, weights, ranks, make_t5())

    export(family, "base-half", Graph(make_t5().half()), tokens(), ["logits"])
    model, weights, ranks = merged("classify", half=True)
    export(family, "classify-half", Graph(model), tokens(), ["logits"])
    add_truth(family, "classify-half", "classify", "base-half", weights, ranks, make_t5().half())
    family.finish()
