#!/usr/bin/env python3
"""Makes a small U-Net and text encoder as diffusers and transformers have them, exports both, lets LyCORIS and diffusers
save adapters of random values for them, and compares what `wshare import-adapter` makes of these with what torch computes.
Needs torch, diffusers, transformers, peft, lycoris-lora, onnx and onnxruntime; a minute.

usage: image_adapters.py WSHARE OUT      WSHARE is the program, OUT a new folder
"""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from lycoris.kohya import LycorisNetworkKohya, create_network
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from transformers import CLIPTextConfig, CLIPTextModel

INPUTS = {"unet": ["sample", "timestep", "context"], "text_encoder": ["ids"]}
PRESET = {
    "enable_conv": True,
    "unet_target_module": ["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"],
    "unet_target_name": ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"],
    "text_encoder_target_module": ["CLIPAttention", "CLIPMLP"],
    "text_encoder_target_name": [],
}
UNET_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "conv1"]


def models():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, layers_per_block=2, block_out_channels=(32, 64), cross_attention_dim=32, attention_head_dim=8,
        norm_num_groups=8, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    config = CLIPTextConfig(vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                            num_attention_heads=4, max_position_embeddings=16, attn_implementation="eager")
    return {"unet": unet.eval(), "text_encoder": CLIPTextModel(config).eval()}


def feeds():
    torch.manual_seed(1)
    return {"unet": (torch.randn(1, 4, 16, 16), torch.tensor([3.0]), torch.randn(1, 8, 32)),
            "text_encoder": (torch.randint(0, 100, (1, 8)),)}


class Bare(torch.nn.Module):
    """Without keywords and without a class around the outputs."""

    def __init__(self, model):
        super().__init__()
        self.call = lambda *values: model(*values, return_dict=False)[0]
        for name, child in model.named_children():  # so that no module stands in front of the others' names
            setattr(self, name, child)

    def forward(self, *values):
        return self.call(*values)


def outputs(pipeline):
    with torch.no_grad():
        return {name: Bare(pipeline[name])(*values).numpy() for name, values in feeds().items()}


def randomise(parameters):
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn_like(parameter) * 0.15)


def lycoris(file, **kinds):
    pipeline = models()
    LycorisNetworkKohya.apply_preset(PRESET)
    keep, LycorisNetworkKohya.apply_preset = LycorisNetworkKohya.apply_preset, classmethod(lambda *_: None)
    network = create_network(1.0, 4, 2.0, None, pipeline["text_encoder"], pipeline["unet"], conv_dim=4, conv_alpha=2.0,
                             train_norm=False, **kinds)
    LycorisNetworkKohya.apply_preset = keep
    network.apply_to(pipeline["text_encoder"], pipeline["unet"], True, True)
    randomise(network.parameters())
    network.save_weights(str(file), torch.float32, {})
    return outputs(pipeline)


def diffusers(file, old_names):
    pipeline = models()
    pipeline["unet"].add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=UNET_LAYERS, rank_pattern={"to_q": 2}))
    config = LoraConfig(r=4, lora_alpha=2, use_rslora=True, target_modules=["q_proj", "out_proj"])
    pipeline["text_encoder"].peft_config = {"default": config}
    inject_adapter_in_model(config, pipeline["text_encoder"])
    randomise(p for model in pipeline.values() for name, p in model.named_parameters() if "lora_" in name)
    states = {name: get_peft_model_state_dict(model) for name, model in pipeline.items()}
    if old_names:
        states = {name: convert_state_dict_to_diffusers(state) for name, state in states.items()}
    StableDiffusionPipeline.save_lora_weights(
        file.parent, weight_name=file.name, unet_lora_layers=states["unet"],
        text_encoder_lora_layers=states["text_encoder"], **_collate_lora_metadata(pipeline))
    return outputs(pipeline)


def distance(got, wanted):
    return abs(got - wanted).max() / abs(wanted).max()


def compare(program, out, file, wanted, base):
    command = [program, "import-adapter", out / "bundle", file, "--base", "unet", "--base", "text_encoder", "--json"]
    for task in json.loads(subprocess.check_output(command))["tasks"]:
        name = task["base"]
        session = onnxruntime.InferenceSession(out / "bundle" / task["model"], providers=["CPUExecutionProvider"])
        adapter, options = onnxruntime.LoraAdapter(), onnxruntime.RunOptions()
        adapter.Load(str(out / "bundle" / task["adapter"]))
        options.add_active_adapter(adapter)
        values = {key: value.numpy() for key, value in zip(INPUTS[name], feeds()[name])}
        got = session.run(None, values, options)[0]
        ranks = sorted({module["rank"] for module in task["mapping"]})
        print(f"{file.stem:14} {name:13} {len(task['mapping']):3} modules, ranks {ranks}, "
              f"off by {distance(got, wanted[name]):.1e}; the base differs by {distance(base[name], wanted[name]):.1e}")


def main():
    program, out = sys.argv[1], Path(sys.argv[2])
    (out / "in").mkdir(parents=True)
    base = models()
    for name, values in feeds().items():
        torch.onnx.export(Bare(base[name]), values, out / "in" / f"{name}.onnx", input_names=INPUTS[name],
                          opset_version=17, dynamo=False)
    subprocess.check_call([program, "dedupe", out / "in", "-o", out / "bundle", "-q"], stdout=subprocess.DEVNULL)
    onnxruntime.set_default_logger_severity(3)
    makers = {
        "lora_locon": lambda file: lycoris(file, algo="locon"),
        "locon_tucker": lambda file: lycoris(file, algo="locon", use_tucker=True),
        "loha": lambda file: lycoris(file, algo="loha"),
        "lokr": lambda file: lycoris(file, algo="lokr", factor=4),
        "diffusers": lambda file: diffusers(file, False),
        "diffusers_old": lambda file: diffusers(file, True),
    }
    for name, make in makers.items():
        file = out / f"{name}.safetensors"
        compare(program, out, file, make(file), outputs(base))


if __name__ == "__main__":
    main()
