"""The family t5-lora: three LoRA tasks left unmerged by the TorchScript exporter."""

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

import truth
from family import Family
from t5 import VOCABULARY, export, make_t5, tokens

TASKS = {
    "summarize": {"r": 4, "lora_alpha": 8, "target_modules": ["q", "v"]},
    "translate": {"r": 8, "lora_alpha": 16, "target_modules": ["k", "o", "q", "v"]},
    "classify": {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": ["q", "v", "wi", "wo"]},
}


class Graph(torch.nn.Module):
    """T5 as one graph, without a cache."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False
        ).logits


# Training


def task_loss(model, task):
    """A toy objective per task: copy the start of the input, map every token, or name one of two classes."""
    random = torch.Generator().manual_seed(11)

    def loss():
        ids = torch.randint(2, VOCABULARY, (8, 12), generator=random)
        labels = {
            "summarize": ids[:, :4].contiguous(),
            "translate": (ids * 7 + 3) % VOCABULARY,
            "classify": 100 + ids[:, :1] % 2,
        }[task]
        return model(input_ids=ids, labels=labels).loss

    return loss


def trained(task):
    """A PEFT model of the base with the trained adapter of `task`."""
    base = make_t5()
    torch.manual_seed(2)
    model = get_peft_model(base, LoraConfig(**TASKS[task])).eval()  # eval: dropout would draw random numbers
    loss = task_loss(model, task)
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(8):
        adam.zero_grad()
        loss().backward()
        adam.step()
    return model.requires_grad_(False)


# Truth


def adapted_layers(model):
    """{module path in the base model: its LoRA layer}."""
    return {
        name.removeprefix("base_model.model."): module
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and "default" in module.lora_A
    }


def effective_rank(a, b, tolerance=1e-6):
    """The rank of B times A; training may leave it below the rank of the adapter."""
    s = np.linalg.svd(b.astype(np.float64) @ a.astype(np.float64), compute_uv=False)
    return int((s > tolerance * s[0]).sum()) if s[0] > 0 else 0


def pair_truth(module, layer, base_homes, task_homes):
    """One adapter: where its factors and its base weight lie in the exported files, found by content."""
    weight = layer.get_base_layer().weight.numpy()
    a, b = layer.lora_A["default"].weight.numpy(), layer.lora_B["default"].weight.numpy()
    base_tensor, weight_layout = truth.find_array(base_homes, weight)
    a_name, a_layout = truth.find_array(task_homes, a)
    b_name, b_layout = truth.find_array(task_homes, b)
    return {
        "module": module,
        "rank": a.shape[0],
        "effective_rank": effective_rank(a, b),
        "scaling": float(layer.scaling["default"]),
        "base_tensor": base_tensor,
        "weight_layout": weight_layout,
        "a": a_name,
        "a_layout": a_layout,
        "b": b_name,
        "b_layout": b_layout,
        "base_tensor_in_task": truth.find_array(task_homes, weight)[0],
    }


def lora_truth(model, base_homes, task_homes):
    config = model.peft_config["default"]
    pairs = [pair_truth(name, layer, base_homes, task_homes) for name, layer in adapted_layers(model).items()]
    moved = [p for p in pairs if p["base_tensor_in_task"] != p["base_tensor"]]
    base_names = {h.name for h in base_homes}
    return {
        "peft_type": config.peft_type.value,
        "rank": config.r,
        "alpha": config.lora_alpha,
        "use_rslora": config.use_rslora,
        "target_modules": sorted(config.target_modules),
        "merged": False,
        "names": "shifted" if moved else "equal",
        # A task tensor whose name is another tensor of the base: trusting names pairs the wrong weights.
        "false_friends": sum(p["base_tensor_in_task"] in base_names for p in moved),
        "pairs": pairs,
    }


def make_family(out):
    family = Family(out, "t5-lora", "three LoRA tasks left unmerged by the TorchScript exporter")
    export(family, "base", Graph(make_t5()), tokens(), ["logits"])
    for task in TASKS:
        model = trained(task)
        export(family, task, Graph(model), tokens(), ["logits"])
        family.task(task, "base", lora_truth(model, family.homes("base"), family.homes(task)))
    family.finish()
