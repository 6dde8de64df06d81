"""What people do today, to be timed beside wshare (tools/bench.sh).

  peers.py share OUT MODEL...   the script one would write in an afternoon: load each model, hash every
                                initializer, write distinct bytes once, save models that refer to them
  peers.py save OUT MODEL...    onnx.save_model with external data: a file per model, nothing shared
"""
import hashlib
import os
import sys

import onnx
from onnx.external_data_helper import set_external_data


def share(out, paths):
    places = {}
    with open(os.path.join(out, "weights.bin"), "wb") as blob:
        for path in paths:
            model = onnx.load(path)
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) < 1024:
                    continue
                digest = hashlib.sha256(tensor.raw_data).digest()
                if digest not in places:
                    blob.write(bytes(-blob.tell() % 4096))
                    places[digest] = blob.tell()
                    blob.write(tensor.raw_data)
                set_external_data(tensor, "weights.bin", places[digest], len(tensor.raw_data))
                tensor.ClearField("raw_data")
            onnx.save(model, os.path.join(out, os.path.basename(path)))
        blob.flush()
        os.fsync(blob.fileno())


def save(out, paths):
    for path in paths:
        name = os.path.basename(path)
        onnx.save_model(onnx.load(path), os.path.join(out, name), save_as_external_data=True,
                        location=name + ".data", size_threshold=1024)


if __name__ == "__main__":
    {"share": share, "save": save}[sys.argv[1]](sys.argv[2], sys.argv[3:])
