"""Checks testdata/ against its own truth: sizes, outputs, and nothing private in any file.

    python check.py DIR

Outputs are compared bit by bit. They were computed on one machine: another processor may
round differently, and then only this part fails.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import truth
from family import open_session, run

# Absolute local paths, links and network addresses; exporters leave them in metadata.
PRIVATE = re.compile(
    rb"/(home|root|tmp|work|usr|opt|Users|mnt|data|var|build)/|site[-]packages|[A-Z]:\\\\|https?:/|www\.[a-z]"
    rb"|\b\d{1,3}(\.\d{1,3}){3}\b"
)
MAX_FILE, MAX_ALL = 2 << 20, 8 << 20


def read_tensors(folder, kind):
    files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
    return {t.name: numpy_helper.to_array(t) for t in map(onnx.load_tensor, files)}


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind in "OSU":
        return a.tolist() == b.tolist()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check_outputs(path, expected):
    """Problems of running the model; `expected` is the entry "onnxruntime" of family.json."""
    folder = path.with_suffix("") / "test_data_set_0"
    if expected != "runs":
        return [f"{path}: has test data although it {expected}"] if folder.exists() else []
    session = open_session(path)
    results = run(session, read_tensors(folder, "input"))
    stored = read_tensors(folder, "output")
    problems = [f"{path}: output {name} differs" for name in results if not same(results[name], stored.get(name))]
    return problems + ([f"{path}: other outputs than stored"] if list(results) != list(stored) else [])


def check_family(folder):
    record = json.loads((folder / "family.json").read_text(encoding="utf-8"))
    files = {entry["file"] for entry in record["models"].values()}
    problems = [f"{folder}: other models than family.json"] if files != {p.name for p in folder.glob("*.onnx")} else []
    homes = {model: truth.find_homes(folder / entry["file"]) for model, entry in record["models"].items()}
    if truth.sizes(homes) != record["sizes"]:
        problems.append(f"{folder}: sizes differ from family.json")
    for entry in record["models"].values():
        problems += check_outputs(folder / entry["file"], entry["onnxruntime"])
    return problems


def check_files(root):
    files = [p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    problems = [f"{p}: over {MAX_FILE} bytes" for p in files if p.stat().st_size > MAX_FILE]
    if sum(p.stat().st_size for p in files) > MAX_ALL:
        problems.append(f"{root}: over {MAX_ALL} bytes")
    for path in files:
        problems += [f"{path}: holds {found.group()!r}" for found in PRIVATE.finditer(path.read_bytes())]
    return problems


def main(root):
    problems = check_files(root)
    for record in sorted(root.glob("*/family.json")):
        problems += check_family(record.parent)
    print("\n".join(problems) or "no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
