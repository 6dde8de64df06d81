"""What people do today, to be timed beside wshare (tools/bench.sh, docs/benchmarks.md).

  peers.py share OUT MODEL...   the script one would write in an afternoon: load each model, hash every
                                initializer, write distinct bytes once, save models that refer to them
  peers.py save OUT MODEL...    onnx.save_model with external data: a file per model, nothing shared
  peers.py svd OUT BASE TASK    LoRA of rank 16 by torch.svd_lowrank from each matrix that differs, its error,
                                factors to OUT; prints the seconds of the SVD alone and the worst error
  peers.py zipnn OUT FILE       a safetensors file tensor by tensor by ZipNN, without a base, on one thread: its size
                                and CPU time
"""
import hashlib
import os
import sys


def share(out, paths):
    import onnx
    from onnx.external_data_helper import set_external_data

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
    import onnx

    for path in paths:
        name = os.path.basename(path)
        onnx.save_model(onnx.load(path), os.path.join(out, name), save_as_external_data=True,
                        location=name + ".data", size_threshold=1024)


def svd(out, paths, rank=16):
    import time

    import numpy
    import onnx
    import torch
    from onnx import numpy_helper

    torch.manual_seed(0)
    base, task = ({t.name: t for t in onnx.load(path).graph.initializer} for path in paths)
    factors, worst, seconds = {}, 0.0, 0.0
    for name, tensor in task.items():
        if len(tensor.dims) != 2 or name not in base or base[name].raw_data == tensor.raw_data:
            continue
        delta = torch.from_numpy(numpy_helper.to_array(tensor) - numpy_helper.to_array(base[name])).float()
        start = time.perf_counter()
        u, s, v = torch.svd_lowrank(delta, q=rank + 8, niter=2)
        seconds += time.perf_counter() - start
        b, a = u[:, :rank] * s[:rank], v[:, :rank].T
        worst = max(worst, float((delta - b @ a).norm() / delta.norm()))
        factors[name + ".b"], factors[name + ".a"] = b.numpy(), a.numpy()
    numpy.savez(os.path.join(out, "factors.npz"), **factors)
    print(f"svd {seconds:.3f} s, {len(factors) // 2} matrices, worst relative error {worst:.1e}")


def zipnn(out, paths):
    import json
    import struct
    import time

    import zipnn

    types = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    size = coded = compress = decompress = 0
    with open(paths[0], "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        for tensor in header.values():
            file.seek(start + tensor["data_offsets"][0])
            data = file.read(tensor["data_offsets"][1] - tensor["data_offsets"][0])
            coder = zipnn.ZipNN(bytearray_dtype=types[tensor["dtype"]], threads=1)
            times = [time.process_time()]
            code = coder.compress(bytearray(data))  # it changes what it is given
            times.append(time.process_time())
            back = coder.decompress(code)
            times.append(time.process_time())
            if bytes(back) != data:
                raise SystemExit("zipnn: a tensor did not come back")
            size, coded = size + len(data), coded + len(code)
            compress, decompress = compress + times[1] - times[0], decompress + times[2] - times[1]
    print(f"  {'ZipNN, no base':26} {100 * coded / size:6.2f} %  {size / compress / 1e9:6.2f} GB/s  "
          f"{size / decompress / 1e9:6.2f} GB/s")


if __name__ == "__main__":
    {"share": share, "save": save, "svd": svd, "zipnn": zipnn}[sys.argv[1]](sys.argv[2], sys.argv[3:])
