"""gunicorn with docs/examples/service.py under load on loopback: answers and memory.

    service_load.py PACKAGE PROGRAM POOL FOLDER [WORKERS [ROUNDS]]

Serves the models of the folder POOL as they are, as a bundle, and over packs, all of which it makes
in FOLDER, each with WORKERS (4) workers; sends each model ROUNDS (16) requests, 4 at a time, and
prints the memory that the workers have together. All answers must be those of a plain session, bit
for bit. PACKAGE is the folder that has wshare/ in it, "" where it is installed; PROGRAM the command.
Exits with 77 where gunicorn, numpy or onnxruntime is missing.
"""

import concurrent.futures
import http.client
import io
import os
import re
import subprocess
import sys
import time

SKIPPED = 77
try:
    import gunicorn  # noqa: F401
    import numpy
    import onnxruntime
except ImportError as error:
    print(f"SKIPPED: no service was run, since Python has no {error.name}", file=sys.stderr)
    sys.exit(SKIPPED)

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/examples")
CAPI = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")
# The same service over plain sessions: what it would be without wshare.
ORIGINALS = """
import os, sys, types
import onnxruntime
class Bundle:
    def __init__(self, path):
        self.path, self.names = path, [name[:-5] for name in sorted(os.listdir(path)) if name.endswith(".onnx")]
    def session(self, name):
        return onnxruntime.InferenceSession(f"{self.path}/{name}.onnx", providers=["CPUExecutionProvider"])
sys.modules["wshare"] = types.SimpleNamespace(Bundle=Bundle)
from service import app
"""
TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}


def plain_answers(pool):
    """{model: (request, outputs)} for inputs of ones, by sessions that are gone then."""
    answers = {}
    for file in sorted(os.listdir(pool)):
        if not file.endswith(".onnx"):
            continue
        session = onnxruntime.InferenceSession(os.path.join(pool, file), providers=["CPUExecutionProvider"])
        feed = {each.name: numpy.ones([dim if isinstance(dim, int) else 2 for dim in each.shape], TYPES[each.type])
                for each in session.get_inputs()}
        body = io.BytesIO()
        numpy.savez(body, **feed)
        answers[file[:-5]] = body.getvalue(), [output.tobytes() for output in session.run(None, feed)]
    return answers


def ask(port, name, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/" + name, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    with numpy.load(io.BytesIO(content)) as outputs:
        return [outputs[key].tobytes() for key in outputs.files]


def children_of(process):
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return file.read().split()


def memory_of(processes):
    """(PSS, anonymous) in MiB of all together."""
    sums = {}
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as lines:
            for field, kib in re.findall(r"^(\w+): +(\d+) kB", lines.read(), re.M):
                sums[field] = sums.get(field, 0) + int(kib) / 1024
    return sums["Pss"], sums["Anonymous"]


def serve(module, search, served, workers, rounds, answers):
    """(PSS, anonymous, requests a second) of a service with `module`."""
    environment = {**os.environ, "BUNDLE": served, "ORT_DISABLE_TELEMETRY": "1",
                   "PYTHONPATH": os.pathsep.join(filter(None, [*search, os.environ.get("PYTHONPATH")]))}
    server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--workers", str(workers), "--timeout", "300",
                               "--bind", "127.0.0.1:0", module + ":app"], env=environment, stderr=subprocess.PIPE,
                              text=True)
    try:
        said = ""
        while "Listening at" not in said:
            said = server.stderr.readline()
            assert said, "gunicorn ended before it listened"
        port = int(re.search(r"127\.0\.0\.1:(\d+)", said)[1])

        def check(name):
            body, expected = answers[name]
            assert ask(port, name, body) == expected, f"{name}: other outputs than a plain session's"

        for name in answers:
            check(name)  # waits for the first worker
        started, asked = time.monotonic(), list(answers) * rounds
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(check, asked))
        speed = len(asked) / (time.monotonic() - started)
        return (*memory_of(children_of(server.pid)), speed)
    finally:
        server.terminate()
        server.communicate()


def main(package, program, pool, folder, workers=4, rounds=16):
    answers = plain_answers(pool)
    originals = os.path.join(folder, "originals")
    os.makedirs(originals, exist_ok=True)
    with open(os.path.join(originals, "originals.py"), "w", encoding="ascii") as file:
        file.write(ORIGINALS)
    bundle, packed = os.path.join(folder, "bundle"), os.path.join(folder, "packed")
    for made in (bundle, packed):
        subprocess.run([program, "dedupe", pool, "-o", made, "--force", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([program, "pack", packed, "--onnxruntime", CAPI, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    print(f"{workers} workers, {len(answers)} models, onnxruntime {onnxruntime.__version__}")
    print("      PSS  anonymous  requests/s  served")
    sums = {}
    for what, module, served in (("originals", "originals", pool), ("bundle", "service", bundle),
                                 ("packs", "service", packed)):
        search = [EXAMPLES, originals if what == "originals" else package]
        pss, anonymous, speed = serve(module, search, os.path.abspath(served), int(workers), int(rounds), answers)
        sums[what] = pss
        print(f"{pss:5.0f} MiB  {anonymous:5.0f} MiB  {speed:10.0f}  {what}", flush=True)
    print(f"packs: {sums['packs'] / sums['originals']:.3f} of the originals' PSS; all answers bit-equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
