#!/usr/bin/env python3
"""Makes testdata/compat/derived_*: a derived tensor and its residual.

usage: derived.py TESTDATA

A second implementation of "Derived tensors and residuals" in docs/bundle-format.md, which shares no code with the
library: what that decodes and encodes is compared with these files.
"""
import struct
import sys
from pathlib import Path

import numpy as np

ROWS, COLS, RANK, MULTIPLIER = 30, 40, 5, 0.75
SHARES, LOW = 4096, 1 << 16


def predict(base, left, right, dtype):
    total = MULTIPLIER * base.astype(np.float64)
    for k in range(left.shape[1]):
        total = total + left[:, k:k + 1].astype(np.float64) * right[k:k + 1].astype(np.float64)
    return total.astype(dtype)


def bits_of(values):
    return [int(x) for x in values.ravel().view({2: np.uint16, 4: np.uint32}[values.itemsize])]


def step(before, after, width):
    sign = 1 << (width - 1)
    rank = lambda x: x ^ (2 * sign - 1) if x & sign else x | sign
    d = (rank(after) - rank(before)) % (2 * sign)
    return 2 * d if d < sign else 2 * (2 * sign - d) - 1


def split(z):
    """Returns the symbol of a step, its low bits and how many they are."""
    if z < 16:
        return z, 0, 0
    n = z.bit_length()
    return 16 + (n - 5) * 2 + (z >> (n - 2) & 1), z & ((1 << (n - 2)) - 1), n - 2


def shares_of(symbols):
    if not symbols:
        return []
    shares = [0] * (max(symbols) + 1)
    for s in set(symbols):
        shares[s] = max(1, symbols.count(s) * SHARES // len(symbols))
    while sum(shares) > SHARES:
        shares[shares.index(max(shares))] -= 1
    shares[shares.index(max(shares))] += SHARES - sum(shares)
    return shares


def code_symbols(classes, symbols):
    out, tables = bytearray(), []
    for c in range(16):
        shares = shares_of([s for s, of in zip(symbols, classes) if of == c])
        tables.append(shares)
        out.append(len(shares))
        for share in shares:
            out += bytes([share]) if share < 128 else bytes([128 + (share >> 8), share & 255])
    numbers, words = [LOW] * 4, []
    for i in reversed(range(len(symbols))):
        shares, s, x = tables[classes[i]], symbols[i], numbers[i % 4]
        if x >= shares[s] << 20:
            words.insert(0, x & 0xffff)
            x >>= 16
        numbers[i % 4] = x // shares[s] * SHARES + sum(shares[:s]) + x % shares[s]
    return bytes(out) + struct.pack('<4I', *numbers) + struct.pack(f'<{len(words)}H', *words)


def residual(predicted, actual):
    """Of a tensor of less than one block."""
    width, significand = predicted.itemsize * 8, {2: 10, 4: 23}[predicted.itemsize]
    before, after = bits_of(predicted), bits_of(actual)
    exponents = [(x & ((1 << (width - 1)) - 1)) >> significand for x in before]
    special = (1 << (width - 1 - significand)) - 1
    top = max([e for e in exponents if e < special], default=0)
    classes = [min(max(top - e, 0), 15) for e in exponents]
    parts = [split(step(a, b, width)) for a, b in zip(before, after)]
    low, at = 0, 0
    for _, bits, count in parts:
        low |= bits << at
        at += count
    code = code_symbols(classes, [s for s, _, _ in parts])
    block = struct.pack('<IH', len(code), top) + code + low.to_bytes((at + 7) // 8, 'little')
    return struct.pack('<I', len(block)) + block


def main(folder):
    folder.mkdir(exist_ok=True)
    for dtype in (np.float32, np.float16):
        rng = np.random.default_rng(4)
        base = (rng.standard_normal((ROWS, COLS)) * 0.05).astype(dtype)
        left, right = rng.standard_normal((ROWS, RANK)) * 0.02, rng.standard_normal((RANK, COLS)) * 0.5
        task = (MULTIPLIER * base.astype(np.float64) + left @ right).astype(dtype)
        # What no prediction explains, on both sides.
        base[0, :4] = [np.nan, np.inf, 0, -1]
        task[0, 2:8] = [-np.inf, 1e-7, np.nan, -0.0, 3, -7e4]
        left, right = left.astype(dtype), right.astype(dtype)
        predicted = predict(base, left, right, dtype)
        nan = {2: 0x7e00, 4: 0x7fc00000}[predicted.itemsize]
        bits = predicted.view({2: np.uint16, 4: np.uint32}[predicted.itemsize])
        bits[np.isnan(predicted)] = nan
        stored = dict(base=np.ascontiguousarray(base.T), left=left, right=right, task=task)
        for name, values in stored.items():
            values.tofile(folder / f'derived_{np.dtype(dtype).name}.{name}')
        (folder / f'derived_{np.dtype(dtype).name}.residual').write_bytes(residual(predicted, task))


if __name__ == '__main__':
    np.seterr(over='ignore', invalid='ignore')
    main(Path(sys.argv[1]) / 'compat')
