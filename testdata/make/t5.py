"""A tiny T5, its TorchScript exports, and the family t5-seq2seq."""

import logging
import warnings

import torch
import transformers
from transformers import DynamicCache, EncoderDecoderCache, T5Config, T5ForConditionalGeneration

from family import Family

OPSET = 17
VOCABULARY = 264  # times 64 floats: the embedding is the one tensor over 64 KiB
LAYERS = 1

logging.getLogger("torch.onnx").setLevel(logging.ERROR)
transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
torch.set_num_threads(1)  # sums in one order: the same machine makes the same bytes again

AXES = {
    "input_ids": {0: "batch", 1: "source"},
    "attention_mask": {0: "batch", 1: "source"},
    "decoder_input_ids": {0: "batch", 1: "target"},
    "encoder_hidden_states": {0: "batch", 1: "source"},
    "encoder_attention_mask": {0: "batch", 1: "source"},
    "logits": {0: "batch", 1: "target"},
}


def make_t5():
    """The same weights every time; embedding and lm_head are tied.

    Heads are narrower than the model so that no attention weight is square: its
    transpose cannot pass for it.
    """
    torch.manual_seed(1)
    config = T5Config(
        d_model=64, d_kv=8, num_heads=4, d_ff=80, num_layers=LAYERS, num_decoder_layers=LAYERS,
        vocab_size=VOCABULARY, decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


def tokens():
    """Two sentences, the second one padded."""
    random = torch.Generator().manual_seed(3)
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return {
        "input_ids": torch.randint(2, VOCABULARY, (2, 7), generator=random),
        "attention_mask": mask,
        "decoder_input_ids": torch.randint(2, VOCABULARY, (2, 5), generator=random),
    }


def export(family, name, module, inputs, outputs, axes=AXES):
    """Exports `module` with the TorchScript exporter and adds it. `inputs`: {name: tensor} in forward order."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(family.path(name)), dynamo=False, opset_version=OPSET,
            input_names=list(inputs), output_names=list(outputs), dynamic_axes=axes,
        )  # fmt: skip
    family.add(name, "torchscript", {key: value.numpy() for key, value in inputs.items()})


# Encoder, decoder, decoder with past


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.encoder = model.encoder

    def forward(self, input_ids, attention_mask):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Decoder(torch.nn.Module):
    """The decoder with its lm_head; `past` is a flat list of key and value tensors.

    Without past it returns logits and every key and value, with past only those of the
    self attention: the keys and values of the encoder do not change.
    """

    def __init__(self, model, with_past):
        super().__init__()
        self.model, self.with_past = model, with_past

    def forward(self, decoder_input_ids, encoder_hidden_states, encoder_attention_mask, *past):
        pairs = [tuple(past[i : i + 2]) for i in range(0, len(past), 2)]
        cache = EncoderDecoderCache(DynamicCache(pairs[:LAYERS]), DynamicCache(pairs[LAYERS:]))
        result = self.model(
            decoder_input_ids=decoder_input_ids, encoder_outputs=(encoder_hidden_states,),
            attention_mask=encoder_attention_mask, past_key_values=cache, use_cache=True,
        )  # fmt: skip
        present = result.past_key_values
        caches = [present.self_attention_cache] + ([] if self.with_past else [present.cross_attention_cache])
        return result.logits, *(t for c in caches for layer in c.layers for t in (layer.keys, layer.values))


def cache_names(prefix, kinds=("decoder", "encoder")):
    return [f"{prefix}.{i}.{kind}.{part}" for kind in kinds for i in range(LAYERS) for part in ("key", "value")]


def make_seq2seq(out):
    family = Family(out, "t5-seq2seq", "encoder, decoder and decoder with past of one T5 with tied embeddings")
    model, text = make_t5(), tokens()

    source = {"input_ids": text["input_ids"], "attention_mask": text["attention_mask"]}
    encoder = Encoder(model)
    export(family, "encoder", encoder, source, ["last_hidden_state"])

    with torch.no_grad():
        hidden = encoder(**source)
    target = {
        "decoder_input_ids": text["decoder_input_ids"],
        "encoder_hidden_states": hidden,
        "encoder_attention_mask": source["attention_mask"],
    }
    decoder = Decoder(model, with_past=False)
    export(family, "decoder", decoder, target, ["logits", *cache_names("present")])

    with torch.no_grad():
        past = dict(zip(cache_names("past_key_values"), decoder(*target.values())[1:], strict=True))
    one_token = {**target, "decoder_input_ids": target["decoder_input_ids"][:, :1], **past}
    axes = {**AXES, **{name: {0: "batch", 2: "past" if ".decoder." in name else "source"} for name in past}}
    outputs = ["logits", *cache_names("present", ["decoder"])]
    export(family, "decoder_with_past", Decoder(model, with_past=True), one_token, outputs, axes)

    family.task("decoder", "encoder")
    family.task("decoder_with_past", "decoder")
    family.finish()
