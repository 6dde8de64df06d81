"""A bundle without wshare: plain sessions of Python's onnxruntime, whatever its version.

    plain_session.py BUNDLE ORIGINALS    outputs equal those of the originals, and unpacked weights stay in
                                         the page cache, where all processes have them once
    plain_session.py --memory FILE N     prints what N sessions of the model FILE take, packed and not

Exits with 77 when onnxruntime is missing.
"""

import os
import re
import sys

SKIPPED = 77
try:
    import numpy
    import onnxruntime
except ImportError as error:
    print(f"SKIPPED: no plain session was opened, since Python has no {error.name}", file=sys.stderr)
    sys.exit(SKIPPED)

TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(bool)": numpy.bool_}


def open_session(path, packs=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not packs:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session):
    """The outputs for inputs of ones, with free dimensions of 2."""
    feed = {each.name: numpy.ones([dim if isinstance(dim, int) else 2 for dim in each.shape],
                                  TYPES[each.type]) for each in session.get_inputs()}
    return [output.tobytes() for output in session.run(None, feed)]


def kib_of(pattern):
    """{field: KiB} summed over this process's maps of files that match `pattern`."""
    sums, counts = {}, False
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            field = re.match(r"(\w+): +(\d+) kB", line)
            if field and counts:
                sums[field[1]] = sums.get(field[1], 0) + int(field[2])
            elif not field and re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                counts = re.search(pattern, line) is not None
    return sums


def check(bundle, originals):
    # One that has no past runs with any sizes.
    for model in ("encoder", "decoder"):
        original = run(open_session(os.path.join(originals, model + ".onnx")))
        for packs in (True, False):
            session = open_session(os.path.join(bundle, model + ".onnx"), packs)
            if packs:
                assert run(session) == original, f"{model}: outputs differ from the original's"
                continue
            run(session)
            blobs = kib_of(re.escape(os.path.realpath(bundle)) + r"/.*\.bin$")
            assert blobs.get("Size", 0) > 0, f"{model}: its weights were copied, not mapped"
            assert blobs["Private_Dirty"] == blobs["Anonymous"] == 0, f"{model}: has pages of its own"
    print(f"plain sessions of onnxruntime {onnxruntime.__version__}: equal, weights in place")


def print_memory(path, count):
    for packs in (True, False):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        before = kib_of("")
        sessions = [open_session(path, packs) for _ in range(int(count))]
        for session in sessions:
            run(session)
        after = kib_of("")
        print(f"{count} sessions, {'packed' if packs else 'unpacked'}: " + ", ".join(
            f"{field} {(after[field] - before[field]) // 1024} MiB" for field in ("Pss", "Anonymous")),
            flush=True)
        os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "--memory":
        print_memory(*sys.argv[2:])
    else:
        check(*sys.argv[1:])
