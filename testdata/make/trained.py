#!/usr/bin/env python3
"""Trains a small language model on text of this repository, fine-tunes it on other text of it, and writes base and
fine-tunes as safetensors files: for tools/bench.sh deltas. Needs torch; about two minutes on two cores.

usage: trained.py OUT [--steps N]

  trained-fp32       AdamW, rate 5e-5 falling to 0, without weight decay
  trained-bf16       the same fine-tune and its base, rounded to bfloat16
  trained-fp16       ... to float16
"""
import argparse
from pathlib import Path

import torch
from torch import nn

from finetunes import write

WIDTH, LAYERS, HEADS, CONTEXT, BATCH = 256, 4, 4, 64, 8
ROOT = Path(__file__).resolve().parents[2]


class Model(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.embeddings = nn.Embedding(words, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        values = self.embeddings(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.norm(self.layers(values, mask=mask, is_causal=True)) @ self.embeddings.weight.T


def train(model, tokens, rate, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group['lr'] = rate * (1 - step / steps)
        starts = torch.randint(len(tokens) - CONTEXT - 1, (BATCH,))
        batch = torch.stack([tokens[s:s + CONTEXT + 1] for s in starts])
        loss = nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def state(model, dtype):
    tensors = {}
    for name, values in model.state_dict().items():
        values = values.to(dtype).contiguous()
        tensors[name] = values.view(torch.int32 if dtype == torch.float32 else torch.int16).numpy()
    return tensors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('out', type=Path)
    parser.add_argument('--steps', type=int, default=200)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    texts = [' '.join(path.read_text() for path in sorted(ROOT.glob(pattern)))
             for pattern in ('docs/*.md', 'lib/format/**/*.cc')]
    pieces = [[text[i:i + 2] for i in range(0, len(text), 2)] for text in texts]
    words = {word: i for i, word in enumerate(sorted(set(pieces[0] + pieces[1])))}
    general, own = (torch.tensor([words[word] for word in each]) for each in pieces)
    model = Model(len(words))
    print(f'{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million weights, loss '
          f'{train(model, general, 1e-3, 2 * options.steps):.2f} of the base', end=', ')
    types = (('fp32', 'F32', torch.float32), ('bf16', 'BF16', torch.bfloat16), ('fp16', 'F16', torch.float16))
    for name, dtype, kind in types:
        write(options.out / f'trained-{name}.base.safetensors', state(model, kind), dtype)
    print(f'{train(model, own, 5e-5, options.steps):.2f} of the fine-tune')
    for name, dtype, kind in types:
        write(options.out / f'trained-{name}.task.safetensors', state(model, kind), dtype)


if __name__ == '__main__':
    main()
