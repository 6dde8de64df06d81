#!/usr/bin/env python3
"""triton_server.py WSHARE BACKEND TASKS MODELS...: a real Triton server over a bundle.

To be run by a Python that has nvidia-pytriton 0.7.0 (a tritonserver with its Python backend),
numpy < 2, onnx, onnxruntime and the wheel of wshare. BACKEND is the folder of model.py, TASKS a bundle of
extract-lora, MODELS are the originals of another. Starts the server on loopback ports, and compares what it answers
with onnxruntime on the originals, bit for bit. Then serves eight models with a common trunk of 128 MiB over packs, and as they
are, and compares what the server and its processes have together. Exit 77: skipped, since something is missing.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import onnx
    import onnxruntime
    import pytriton
    import tritonclient.http
    import wshare
except ImportError as error:
    print(f"NOT TESTED: {error}; a Python with nvidia-pytriton==0.7.0 'numpy<2' onnx onnxruntime and wshare runs this")
    sys.exit(77)


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    check(result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stderr}")


def free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def backends(folder, ours):
    """The server's Python backend, with the stub for this Python, and ours beside it."""
    server = pathlib.Path(pytriton.__file__).parent / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(server / "backends" / "python", folder / "python")
    shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
    shutil.copytree(ours, folder / "wshare")
    return folder


def start(folder, repository, backend_folder):
    server = pathlib.Path(pytriton.__file__).parent / "tritonserver"
    http, metrics = free_ports(2)
    libraries = [server / "external_libs", pathlib.Path(pytriton.__file__).parents[1] / "nvidia_pytriton.libs"]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
                   "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    log = open(folder / "log", "wb")
    process = subprocess.Popen(
        [server / "bin" / "tritonserver", "--model-repository", repository, "--backend-directory", backend_folder,
         "--http-address", "127.0.0.1", "--http-port", str(http), "--allow-grpc", "false",
         "--metrics-address", "127.0.0.1", "--metrics-port", str(metrics)],
        env=environment, stdout=log, stderr=log)
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{http}")
    while process.poll() is None:
        try:
            if client.is_server_ready():
                return process, client
        except Exception:
            time.sleep(0.1)
    sys.exit(f"FAILED: tritonserver ended:\n{(folder / 'log').read_text(errors='replace')[-9000:]}")


def feeds_of(session):
    random = numpy.random.default_rng(7)
    feeds = {}
    for each in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 if "batch" in str(size) else 4 for size in each.shape]
        if "int" in each.type:
            kind = numpy.int64 if "64" in each.type else numpy.int32
            feeds[each.name] = numpy.ones(shape, kind) if "mask" in each.name else random.integers(0, 9, shape, kind)
        else:
            feeds[each.name] = random.standard_normal(shape).astype(numpy.float32)
    return feeds


def ask(client, model, feeds):
    inputs = []
    for name, value in feeds.items():
        kind = {"int64": "INT64", "int32": "INT32", "float32": "FP32"}[str(value.dtype)]
        inputs.append(tritonclient.http.InferInput(name, list(value.shape), kind))
        inputs[-1].set_data_from_numpy(value)
    return client.infer(model, inputs)


def check_same(what, answer, names, wanted):
    for name, value in zip(names, wanted):
        got = answer.as_numpy(name)
        check(got.dtype == value.dtype and got.tobytes() == value.tobytes(), f"{what}: {name} is another")


def check_models(folder, program, backend_folder, models):
    run(program, "dedupe", *models, "-o", str(folder / "bundle"))
    for links in ("files", "folder", "hard"):
        repository = folder / links
        run(program, "export", "triton", str(folder / "bundle"), str(repository), "--links", links)
        process, client = start(folder, str(repository), str(backend_folder))
        try:
            for model in models:
                session = onnxruntime.InferenceSession(model)
                feeds = feeds_of(session)
                answer = ask(client, pathlib.Path(model).stem, feeds)
                check_same(f"{links}: {model}", answer, [output.name for output in session.get_outputs()],
                           session.run(None, feeds))
            print(f"--links {links}: {len(models)} models, all answers equal bit for bit")
        finally:
            process.terminate()
            process.wait()


def check_tasks(folder, program, backend_folder, tasks):
    """A bundle with tasks; each is a model of the server, and answers as the Python package does."""
    repository = folder / "of-tasks"
    run(program, "export", "triton", tasks, str(repository))
    process, client = start(folder, str(repository), str(backend_folder))
    try:
        base = next(name for name in wshare.Bundle(tasks).names if wshare.Bundle(tasks).tasks(name).names)
        session = wshare.Bundle(tasks).tasks(base)
        for task in session.names:
            feeds = feeds_of(session.session)
            names = [output.name for output in session.session.get_outputs()]
            check_same(task, ask(client, task, feeds), names, session.run(task, feeds))
        print(f"{len(session.names)} tasks over one base, all answers equal bit for bit")
    finally:
        process.terminate()
        process.wait()


# Before model.py: the same backend over plain sessions, which it would be without wshare.
ORIGINALS = """
import sys, types
import onnxruntime
class Bundle:
    def __init__(self, path): pass
    def session(self, name, options):
        return onnxruntime.InferenceSession(f"{POOL}/{name}.onnx", providers=["CPUExecutionProvider"])
    def how(self, name):
        return types.SimpleNamespace(way="plain", file=name, onnxruntime=onnxruntime.__version__, why="")
sys.modules["wshare"] = types.SimpleNamespace(Bundle=Bundle, Error=RuntimeError)
"""
MODELS, LAYERS, WIDTH = 8, 32, 1024  # a layer has 4 MiB


def make_pool(folder):
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = numpy.random.default_rng(5)
    trunk = [random.standard_normal((WIDTH, WIDTH), dtype=numpy.float32) / 32 for _ in range(LAYERS)]
    os.makedirs(folder)
    for model in range(MODELS):
        head = random.standard_normal((WIDTH, 64), dtype=numpy.float32)
        weights = [*(numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(trunk)), numpy_helper.from_array(head, "head")]
        nodes = [helper.make_node("MatMul", [f"x{i}" if i else "x", w.name], [f"x{i + 1}"]) for i, w in enumerate(weights)]
        graph = helper.make_graph(
            nodes, "model", [helper.make_tensor_value_info("x", 1, [2, WIDTH])],
            [helper.make_tensor_value_info(f"x{len(weights)}", 1, [2, 64])], weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / f"m{model}.onnx")


def family_of(process):
    """The process and all below it."""
    family = [process]
    for each in family:
        for task in os.listdir(f"/proc/{each}/task"):
            with open(f"/proc/{each}/task/{task}/children", encoding="ascii") as file:
                family += map(int, file.read().split())
    return family


def pss_of(processes):
    kib = 0
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
            kib += int(re.search(r"^Pss: +([0-9]+) kB", file.read(), re.M)[1])
    return kib / 1024


def serve_pool(folder, repository, backend_folder, pool):
    process, client = start(folder, str(repository), str(backend_folder))
    try:
        for model in sorted(pool.iterdir()):
            session = onnxruntime.InferenceSession(model)
            feeds = feeds_of(session)
            answer = ask(client, model.stem, feeds)
            check_same(model.stem, answer, [output.name for output in session.get_outputs()], session.run(None, feeds))
        return pss_of(family_of(process.pid))
    finally:
        process.terminate()
        process.wait()


def check_memory(folder, program, backend_folder):
    pool, packed, plain = folder / "pool", folder / "packed", folder / "plain"
    make_pool(pool)
    run(program, "dedupe", str(pool), "-o", str(packed))
    run(program, "pack", str(packed), "--onnxruntime", str(pathlib.Path(onnxruntime.__file__).parent / "capi"))
    run(program, "export", "triton", str(packed), str(folder / "of-packs"), "--packed")
    run(program, "export", "triton", str(packed), str(folder / "of-originals"))
    shutil.copytree(backend_folder, plain)
    model = plain / "wshare" / "model.py"
    model.write_text(f"POOL = {str(pool)!r}\n{ORIGINALS}\n{model.read_text()}")
    ours = serve_pool(folder, folder / "of-packs", backend_folder, pool)
    theirs = serve_pool(folder, folder / "of-originals", plain, pool)
    print(f"{MODELS} models of {LAYERS * 4} MiB, all answers equal bit for bit: PSS of the server and its processes "
          f"{ours:.0f} MiB over packs, {theirs:.0f} as they are: {ours / theirs:.3f}")
    check(ours <= 0.35 * theirs, "the goal is 0.35")


def main():
    program, ours, tasks, *models = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        backend_folder = backends(folder / "backends", ours)
        check_models(folder, program, backend_folder, models)
        check_tasks(folder, program, backend_folder, tasks)
        check_memory(folder, program, backend_folder)


main()
