"""The C API from Python, through ctypes: sessions and tasks over a bundle.

    runtime_c.py LIBRARY POOL TASKS             with whatever ONNX Runtime the library finds
    runtime_c.py LIBRARY POOL TASKS --stock DIR with the one that Python has; outputs equal those of
                                                its own sessions, on the originals in DIR

POOL and TASKS are the bundles that tests/runtime_c makes. With --stock, exits with 77 when
onnxruntime is missing.
"""

import ctypes
import glob
import os
import sys

SKIPPED = 77
PATH, INDEX, HANDLE = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
INVALID, IO = 4, 3
IDS = {"input_ids": [[5, 7, 11, 1]], "attention_mask": [[1, 1, 1, 1]], "decoder_input_ids": [[0, 3]]}


class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "struct_size", "shared_bytes", "left_bytes", "shared_tensors", "packed_shared",
        "device_own", "device_unshared", "host_bytes")]


class WshareError(Exception):
    def __init__(self, code, message, hint):
        super().__init__(message, hint)
        self.code = code


class Wshare:
    """wshare.name(arguments) calls wshare_name() and raises what it returns."""

    def __init__(self, path):
        self._library = ctypes.CDLL(path)
        for name, result in (("error_message", PATH), ("error_hint", PATH), ("names_get", PATH),
                             ("names_count", INDEX), ("session_ort", HANDLE),
                             ("error_code", ctypes.c_int), ("c_api_version", ctypes.c_int)):
            self.plain(name).restype = result

    def plain(self, name):
        return getattr(self._library, "wshare_" + name)

    def __getattr__(self, name):
        function = self.plain(name)
        function.restype = HANDLE

        def call(*arguments):
            error = function(*arguments)
            if error is None:
                return
            code, message, hint = (self.plain("error_" + part)(HANDLE(error))
                                   for part in ("code", "message", "hint"))
            self.plain("error_free")(HANDLE(error))
            raise WshareError(code, message.decode(), hint.decode())

        return call

    def get(self, name, *arguments):
        """What a call with `arguments` gives through its last argument."""
        result = HANDLE()
        getattr(self, name)(*arguments, ctypes.byref(result))
        return result

    def names(self, name, handle):
        """A list of names, freed on our side."""
        names = self.get(name, handle)
        result = [self.plain("names_get")(names, INDEX(i)).decode()
                  for i in range(self.plain("names_count")(names))]
        self.plain("names_free")(names)
        return result


class Ort:
    """The few functions of OrtApi that a run needs, by their place in it, which ONNX Runtime keeps."""

    PLACES = {"Run": 9, "CreateTensorWithDataAsOrtValue": 49, "GetTensorMutableData": 51,
              "CreateCpuMemoryInfo": 69, "ReleaseMemoryInfo": 94, "ReleaseValue": 96,
              "GetTensorSizeInBytes": 318}
    INT64 = 7

    def __init__(self, base):
        get_api, get_version = (ctypes.cast(base, ctypes.POINTER(HANDLE))[i] for i in (0, 1))
        self.version = ctypes.CFUNCTYPE(PATH)(get_version)().decode()
        api = ctypes.CFUNCTYPE(HANDLE, ctypes.c_uint32)(get_api)(29)
        self._table = ctypes.cast(api, ctypes.POINTER(HANDLE))
        self._memory = self.get("CreateCpuMemoryInfo", 0, 0)

    def call(self, name, *arguments):
        status = ctypes.CFUNCTYPE(HANDLE)(self._table[self.PLACES[name]])(*arguments)
        assert name.startswith("Release") or status is None, name

    def get(self, name, *arguments):
        result = HANDLE()
        self.call(name, *arguments, ctypes.byref(result))
        return result

    def value(self, rows):
        """An OrtValue of int64, and the memory that it stands on."""
        flat = [number for row in rows for number in row]
        data = (ctypes.c_int64 * len(flat))(*flat)
        shape = (ctypes.c_int64 * 2)(len(rows), len(rows[0]))
        value = self.get("CreateTensorWithDataAsOrtValue", self._memory, data,
                         INDEX(ctypes.sizeof(data)), shape, INDEX(2), ctypes.c_int(self.INT64))
        return value, data

    def take_bytes(self, value):
        size, data = INDEX(), self.get("GetTensorMutableData", value)
        self.call("GetTensorSizeInBytes", value, ctypes.byref(size))
        result = ctypes.string_at(data, size.value)
        self.call("ReleaseValue", value)
        return result


def run(wshare, ort, session, task, names, output):
    """The bytes of `output` after a run of `task` with inputs of IDS."""
    held = [ort.value(IDS[name]) for name in names]
    outputs = (HANDLE * 1)()
    wshare.session_run(session, task.encode(), (PATH * len(names))(*[n.encode() for n in names]),
                       (HANDLE * len(names))(*[value for value, _ in held]), INDEX(len(names)),
                       (PATH * 1)(output.encode()), INDEX(1), outputs)
    for value, _ in held:
        ort.call("ReleaseValue", value)
    return ort.take_bytes(HANDLE(outputs[0]))


def open_session(wshare, bundle, model):
    opened = wshare.get("bundle_open", bundle.encode())
    session = wshare.get("session_open", opened, model.encode(), None)
    memory = Memory(struct_size=ctypes.sizeof(Memory))
    wshare.bundle_memory(opened, model.encode(), ctypes.byref(memory))
    assert memory.shared_bytes > 0 and memory.packed_shared == 1, model
    wshare.plain("bundle_close")(opened)  # the session goes on
    return session


def code_of(call, *arguments):
    try:
        call(*arguments)
    except WshareError as error:
        return error.code
    return 0


ENCODER = ("input_ids", "attention_mask")
TASK = ("input_ids", "attention_mask", "decoder_input_ids")


def outputs_of(wshare, ort, pool, tasks):
    """{what: bytes} of all runs."""
    session = open_session(wshare, pool, "encoder")
    outputs = {"encoder": run(wshare, ort, session, "", ENCODER, "last_hidden_state")}
    wshare.plain("session_close")(session)
    session = open_session(wshare, tasks, "base")
    names = wshare.names("session_tasks", session)
    assert names == ["summarize", "translate"], names
    for task in ["", *names]:
        outputs[task] = run(wshare, ort, session, task, TASK, "logits")
    assert code_of(run, wshare, ort, session, "nobody", TASK, "logits") == INVALID
    wshare.plain("session_close")(session)
    return outputs


def stock_outputs(onnxruntime, tasks, originals):
    """The same with sessions of Python's own onnxruntime, which knows nothing of wshare."""
    import numpy

    def feed(names):
        return {name: numpy.array(IDS[name], numpy.int64) for name in names}

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    encoder = onnxruntime.InferenceSession(os.path.join(originals, "encoder.onnx"), quiet)
    base = onnxruntime.InferenceSession(os.path.join(tasks, "base.onnx"), quiet)
    outputs = {"encoder": encoder.run(["last_hidden_state"], feed(ENCODER))[0].tobytes(),
               "": base.run(["logits"], feed(TASK))[0].tobytes()}
    for task in ("summarize", "translate"):
        adapter = onnxruntime.LoraAdapter()
        adapter.Load(os.path.join(tasks, task + ".onnx_adapter"))
        options = onnxruntime.RunOptions()
        options.add_active_adapter(adapter)
        outputs[task] = base.run(["logits"], feed(TASK), options)[0].tobytes()
    return outputs


def load_stock():
    """Loads the library of C functions that Python's onnxruntime brings along."""
    try:
        import onnxruntime
    except ImportError as error:
        print(f"SKIPPED: not compared, since Python has no {error.name}", file=sys.stderr)
        sys.exit(SKIPPED)
    folder = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")
    found = glob.glob(os.path.join(folder, "libonnxruntime.so.1*"))
    if not found:
        print(f"SKIPPED: onnxruntime {onnxruntime.__version__} of Python has no library for C",
              file=sys.stderr)
        sys.exit(SKIPPED)
    ctypes.CDLL(found[0])
    return onnxruntime


def main(library, pool, tasks, *stock):
    onnxruntime = load_stock() if stock else None
    wshare = Wshare(library)
    try:
        ort = Ort(wshare.get("onnxruntime"))
    except WshareError as error:
        if not stock:
            raise
        print(f"SKIPPED: {error}", file=sys.stderr)  # Python's is too old
        sys.exit(SKIPPED)
    assert code_of(wshare.bundle_open, b"no such folder", ctypes.byref(HANDLE())) == IO
    outputs = outputs_of(wshare, ort, pool, tasks)
    assert len(set(outputs.values())) == 4, "outputs of different tasks are equal"
    if stock:
        assert ort.version == onnxruntime.__version__, "wshare uses another ONNX Runtime"
        plain = stock_outputs(onnxruntime, tasks, stock[1])
        differ = [what or "base" for what in outputs if outputs[what] != plain[what]]
        assert not differ, f"these differ from plain sessions: {differ}"
    print(f"{len(outputs)} runs with ONNX Runtime {ort.version}" + (", equal to its own" if stock else ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
