#!/usr/bin/env python3
"""Makes a base and simulated fine-tunes of it, as safetensors files: for tools/bench.sh deltas.

usage: finetunes.py OUT [--million N] [--steps N] [--seed N]

The base looks like a small text encoder: half of it are embeddings. It is trained by AdamW as it is, but on made-up
gradients: noise whose size differs from row to row, and a part that stays the same. As in training, an embedding has a
gradient only in rows of words that a step meets, which are few and follow Zipf's law; without weight decay the others
stay as they are. Numpy only, the same bytes for the same arguments.

  fp32, fp32-decay   float32; with weight decay 0.01
  bf16, fp16         of a float32 master, both sides rounded
  bf16-pure          trained in bfloat16: most steps are too small to change anything
"""
import argparse
import json
import struct
from pathlib import Path

import numpy as np

WIDTH, WORDS_OF_A_STEP = 384, 600


def bfloat16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def widened(values):
    return (values.astype(np.uint32) << 16).view(np.float32)


def make_base(million, rng):
    """Embeddings, layers of six matrices and their small tensors."""
    tensors = {'embeddings': rng.standard_normal((int(million * 1e6 / 2 / WIDTH), WIDTH)) * 0.05}
    layers = max(1, int(million * 1e6 / 2 / (12 * WIDTH * WIDTH)))
    for i in range(layers):
        for name, rows, cols in (('q', 1, 1), ('k', 1, 1), ('v', 1, 1), ('o', 1, 1), ('up', 4, 1), ('down', 1, 4)):
            rows, cols = rows * WIDTH, cols * WIDTH
            tensors[f'layer.{i}.{name}'] = rng.standard_normal((rows, cols)) * 0.05
            tensors[f'layer.{i}.{name}.bias'] = rng.standard_normal(rows) * 0.02
        tensors[f'layer.{i}.norm'] = 1 + rng.standard_normal(WIDTH) * 0.1
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def rows_met(steps, count, rng):
    """For each step, the rows of an embedding that it meets."""
    weights = 1 / np.arange(1, count + 1)
    weights = np.cumsum(weights / weights.sum())
    order = rng.permutation(count)
    return [np.unique(order[np.minimum(np.searchsorted(weights, rng.random(WORDS_OF_A_STEP)), count - 1)])
            for _ in range(steps)]


def adamw(weight, rate, decay, steps, embedding, pure, rng):
    """Returns `weight` after so many steps with made-up gradients."""
    weight = weight.copy()
    scale = np.exp(rng.standard_normal((weight.shape[0],) + (1,) * (weight.ndim - 1))).astype(np.float32)
    steady = rng.standard_normal(weight.shape, dtype=np.float32) * (0.15 * scale)
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    met = rows_met(steps, weight.shape[0], rng) if embedding else None
    for step in range(1, steps + 1):
        gradient = rng.standard_normal(weight.shape, dtype=np.float32) * scale + steady
        if embedding:
            mask = np.zeros((weight.shape[0], 1), np.float32)
            mask[met[step - 1]] = 1
            gradient *= mask
        first = np.float32(0.9) * first + np.float32(0.1) * gradient
        second = np.float32(0.999) * second + np.float32(0.001) * gradient * gradient
        now = np.float32(rate * (1 - (step - 1) / steps))
        weight *= np.float32(1 - now * decay)
        size = np.sqrt(second / np.float32(1 - 0.999**step)) + np.float32(1e-8)
        weight -= now * (first / np.float32(1 - 0.9**step)) / size
        if pure:
            weight = widened(bfloat16(weight))
    return weight


def write(path, tensors, dtype):
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {'dtype': dtype, 'shape': list(values.shape), 'data_offsets': [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for values in tensors.values():
            file.write(np.ascontiguousarray(values).tobytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('out', type=Path)
    parser.add_argument('--million', type=float, default=8, help='weights')
    parser.add_argument('--steps', type=int, default=40)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    base = make_base(options.million, np.random.default_rng(options.seed))

    # Fewer steps at a higher rate move weights about as far as a real run does.
    def tuned(start, decay=0.0, pure=False):
        rng = np.random.default_rng(options.seed + 1)
        return {name: adamw(values, 1e-4, decay, options.steps, name == 'embeddings', pure, rng)
                for name, values in start.items()}

    def both(name, dtype, before, after, cast):
        for side, tensors in (('base', before), ('task', after)):
            write(options.out / f'{name}.{side}.safetensors', {n: cast(v) for n, v in tensors.items()}, dtype)

    master = tuned(base)
    both('fp32', 'F32', base, master, lambda v: v)
    both('fp32-decay', 'F32', base, tuned(base, decay=0.01), lambda v: v)
    both('bf16', 'BF16', base, master, bfloat16)
    both('fp16', 'F16', base, master, lambda v: v.astype(np.float16))
    start = {name: widened(bfloat16(values)) for name, values in base.items()}
    both('bf16-pure', 'BF16', start, tuned(start, pure=True), bfloat16)


if __name__ == '__main__':
    main()
