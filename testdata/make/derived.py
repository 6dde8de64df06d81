#!/usr/bin/env python3
"""Makes testdata/compat/derived_* and lanes_*: derived tensors and their residuals, of codec 1 and 2.

usage: derived.py TESTDATA

A second implementation of "Derived tensors and residuals" in docs/bundle-format.md, which shares no code with the
library: what that decodes is compared with these files.
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


def move(before, after, width):
    """Returns the symbol of a move, its raw bits and how many they are."""
    sign = 1 << (width - 1)
    rank = lambda x: x ^ (2 * sign - 1) if x & sign else x | sign
    d = (rank(after) - rank(before)) % (2 * sign)
    size, negative = (2 * sign - d, 1) if d >= sign else (d, 0)
    if size == 0:
        return 0, 0, 0
    n = size.bit_length() - 1
    below = max(n - 2, 0)
    return 4 * n + (size << 2 >> n & 3) + 1, (size & ((1 << below) - 1)) << 1 | negative, below + 1


def weigh(weights):
    """Returns the shares that a table of weights gives."""
    shares = [max(1, w * SHARES // sum(weights)) if w else 0 for w in weights]
    while sum(shares) > SHARES:
        shares[shares.index(max(shares))] -= 1
    shares[shares.index(max(shares))] += SHARES - sum(shares)
    return shares


def code_table(symbols, most):
    """Returns shares and code of a table whose weights are at most `most`."""
    counts = [symbols.count(s) for s in range(max(symbols) + 1)]
    weights = [-(-c * most // max(counts)) for c in counts]
    first, nibbles = min(symbols), []
    for w in weights[first:]:
        while w >= 8:
            nibbles.append(w % 8 | 8)
            w //= 8
        nibbles.append(w)
    nibbles += [0] * (len(nibbles) % 2)
    code = bytes([first, len(weights) - 1 - first])
    return weigh(weights), code + bytes(a | b << 4 for a, b in zip(nibbles[::2], nibbles[1::2]))


def code_lanes(classes, moves, tables, lanes):
    """The numbers and words of moves (symbol, raw bits, their count), given the shares of each class."""
    numbers, words = [LOW] * lanes, []

    def add_symbol(lane, shares, first):
        x = numbers[lane]
        if x >= shares << 20:
            words.append(x & 0xffff)
            x >>= 16
        numbers[lane] = x // shares * SHARES + first + x % shares

    for group in reversed(range(0, len(moves), lanes)):
        some = list(enumerate(moves[group:group + lanes]))
        for p in (48, 32, 16, 0):
            for lane, (_, raw, count) in reversed(some):
                if count > p:
                    k = min(count - p, 16)
                    if numbers[lane] << k >= 1 << 32:
                        words.append(numbers[lane] & 0xffff)
                        numbers[lane] >>= 16
                    numbers[lane] = numbers[lane] << k | raw >> p & ((1 << k) - 1)
        for lane, (symbol, _, _) in reversed(some):
            shares = tables[classes[group + lane]]
            add_symbol(lane, shares[symbol], sum(shares[:symbol]))
    return struct.pack(f'<{lanes}I', *numbers) + struct.pack(f'<{len(words)}H', *reversed(words))


def lane_residual(predicted, actual, significand, lanes, shifted, marked, most):
    """Of a matrix of less than one block, given as bits."""
    width = predicted.itemsize * 8
    exponent = lambda x: (x & ((1 << (width - 1)) - 1)) >> significand
    special = (1 << (width - 1 - significand)) - 1
    top = max([exponent(x) for x in map(int, predicted.ravel()) if exponent(x) < special], default=0)
    code = bytes([lanes.bit_length() - 1 | 8 * shifted | 16 * marked])
    if marked:
        rows = (predicted != actual).any(axis=1)
        code += np.packbits(rows, bitorder='little').tobytes()
        predicted, actual = predicted[rows], actual[rows]
    before, after = [int(x) for x in predicted.ravel()], [int(x) for x in actual.ravel()]
    classes = [min(max(top - exponent(x), 0), 15) for x in before]
    moves = [move(a, b, width) for a, b in zip(before, after)]
    code += struct.pack('<H', top)
    if shifted:
        moves = [(s + 4 * (15 - c) if s else 0, raw, n) for (s, raw, n), c in zip(moves, classes)]
        shares, table = code_table([s for s, _, _ in moves], most)
        tables, code = [shares] * 16, code + table
    else:
        code += struct.pack('<H', sum(1 << c for c in set(classes)))
        tables = {}
        for c in sorted(set(classes)):
            tables[c], table = code_table([s for (s, _, _), of in zip(moves, classes) if of == c], most)
            code += table
    code += code_lanes(classes, moves, tables, lanes)
    size, varint = len(code), b''
    while size >= 128:
        varint += bytes([size % 128 | 128])
        size //= 128
    return varint + bytes([size]) + code


def lane_cases(folder):
    rng = np.random.default_rng(5)
    bits = {'float16': np.uint16, 'bfloat16': np.uint16, 'float32': np.uint32, 'float64': np.uint64}
    for name, dtype, rows, cols, significand, lanes, shifted, marked, most in (
            ('float32', np.float32, 37, 45, 23, 32, False, False, 4095),
            ('bfloat16', np.float32, 40, 50, 7, 32, False, True, 63),
            ('float16', np.float16, 20, 30, 10, 4, True, True, 7),
            ('float64', np.float64, 7, 9, 52, 1, False, False, 7)):
        base = (rng.standard_normal((rows, cols)) * 0.05).astype(dtype)
        task = (base + rng.standard_normal((rows, cols)) * 1e-3).astype(dtype)
        if marked:
            task[::3] = base[::3]
        # What no training makes, on both sides.
        base[1, :4] = [np.nan, np.inf, 0, -1]
        task[1, 2:8] = [-np.inf, 1e-7, np.nan, -0.0, 3, -6e4]
        if name == 'bfloat16':  # the upper halves
            base, task = (x.view(np.uint32) >> 16 for x in (base, task))
        base, task = (x.astype(bits[name]) if name == 'bfloat16' else x.view(bits[name]) for x in (base, task))
        base.tofile(folder / f'lanes_{name}.base')
        task.tofile(folder / f'lanes_{name}.task')
        (folder / f'lanes_{name}.residual').write_bytes(
            lane_residual(base, task, significand, lanes, shifted, marked, most))


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
    lane_cases(folder)
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
