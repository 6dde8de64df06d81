"""PEFT loads what wshare writes, and wshare reads what PEFT saves.

    peft_roundtrip.py PEFT_FILES        the program made from peft_files.cc

Exits with 77 when torch, peft, transformers or safetensors are missing.
"""

import os
import subprocess
import sys
import tempfile
import warnings

SKIPPED = 77
try:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from peft.tuners.lora import LoraLayer
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"SKIPPED: PEFT was not tested, since Python has no {error.name}", file=sys.stderr)
    sys.exit(SKIPPED)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = torch.nn.Linear(6, 5), torch.nn.Linear(5, 6, bias=False)

    def forward(self, x):
        return self.k(torch.relu(self.q(x)))


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.layers = torch.nn.ModuleList(Block() for _ in range(12))
        self.conv = torch.nn.Conv2d(2, 4, 3)
        self.q = torch.nn.Linear(6, 3)  # a path that ends others

    def forward(self, ids, image):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer(x)
        return self.q(x), self.conv(image)


def tiny():
    torch.manual_seed(1)
    return Tiny().eval()


INPUTS = (torch.tensor([[1, 5, 10]]), torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(2)))


def run(model):
    with torch.no_grad():
        return model(*INPUTS)


def same(got, expected):
    return all(torch.allclose(g, e, rtol=1e-5, atol=1e-6) for g, e in zip(got, expected))


def check_written(program, folder, ranks):
    """Factors as ONNX has them become an adapter that PEFT merges to the weights they stand for."""
    os.mkdir(folder)
    model, factors, expected = tiny(), {}, tiny()
    weights = dict(expected.named_modules())
    random = torch.Generator().manual_seed(3)
    for path, rank in ranks.items():
        out, width = weights[path].weight.shape
        a, b = torch.randn(width, rank, generator=random), torch.randn(rank, out, generator=random)
        factors |= {f"{path}.a": a, f"{path}.b": b}
        weights[path].weight.data += (a @ b).T
    a, b = torch.randn(11, 2, generator=random), torch.randn(2, 6, generator=random)
    factors |= {"embed.e.a": a, "embed.e.b": b}
    weights["embed"].weight.data += a @ b
    a, b = torch.randn(2, 2, 3, 3, generator=random), torch.randn(4, 2, 1, 1, generator=random)
    factors |= {"conv.a": a, "conv.b": b}
    weights["conv"].weight.data += torch.einsum("or,rikl->oikl", b[:, :, 0, 0], a)

    save_file(factors, f"{folder}/factors.safetensors")
    os.mkdir(f"{folder}/adapter")
    subprocess.run([program, "write", f"{folder}/factors.safetensors", f"{folder}/adapter"], check=True)
    with warnings.catch_warnings():
        # PEFT warns of keys that are missing. It takes "q" for the end of any path, and gives modules
        # without factors some that do nothing.
        warnings.simplefilter("ignore" if "q" in ranks else "error")
        merged = PeftModel.from_pretrained(model, f"{folder}/adapter").merge_and_unload()
    assert same(run(merged), run(expected)), "outputs differ"
    assert not same(run(merged), run(tiny())), "the adapter does nothing"
    for name, weight in expected.state_dict().items():
        assert torch.allclose(merged.state_dict()[name], weight, rtol=1e-5, atol=1e-6), name


CONFIGS = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": ["q", "conv"]},
    "rsLoRA": {"r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": ["q", "k"]},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q", "k", "embed"],
        "rank_pattern": {"1.q": 1, "^q": 3, "layers.[5-9].k": 5, r"layers\.1\.(k|v)": 2},
        "alpha_pattern": {".*[k]": 3, "11.k": 7, "embed": 0.5},
    },
}


def check_read(program, folder, name):
    """Factors and scaling that wshare reads are those that PEFT computes with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(tiny(), LoraConfig(**CONFIGS[name], init_lora_weights=False))
        model.save_pretrained(f"{folder}/{name}", save_embedding_layers=False)
        # As PEFT reads it: saving sorts the patterns, so that another one may fit first.
        model = PeftModel.from_pretrained(tiny(), f"{folder}/{name}")
    subprocess.run([program, "read", f"{folder}/{name}", f"{folder}/{name}.safetensors"], check=True)
    got = load_file(f"{folder}/{name}.safetensors")
    layers = {n.removeprefix("base_model.model."): m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    assert len(got) == 3 * len(layers), f"{name}: {len(got)} tensors of {len(layers)} modules"
    for path, layer in layers.items():
        a, b, scaling = (got[f"{path}.{part}"] for part in ("a", "b", "scaling"))
        assert scaling.item() == layer.scaling["default"], f"{name}: scaling of {path}"
        flat = (b.flatten(1) @ a.flatten(1)) * scaling.float()
        delta = layer.get_delta_weight("default")
        delta = delta.T if path == "embed" else delta.flatten(1)
        assert torch.allclose(flat, delta, rtol=1e-5, atol=1e-6), f"{name}: delta of {path}"
    return len(layers)


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        ranks = {"layers.1.q": 1, "layers.11.q": 3, "layers.11.k": 2}
        check_written(program, f"{folder}/1", ranks)
        check_written(program, f"{folder}/2", ranks | {"q": 2})
        count = sum(check_read(program, folder, name) for name in CONFIGS)
    print(f"PEFT loads an adapter of wshare; wshare reads {count} modules of PEFT")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
