"""Asks an installed onnxruntime, onnx or openvino what `wshare doctor` says of it.

    doctor.py WSHARE

One small model in each layout that a rule is about: for each, the program opens it if and only if doctor finds nothing
for the newest target that it is not older than. Exits with 77 when none of the three is installed.
"""
import importlib
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    print(f"SKIPPED: doctor was not compared with programs, since Python has no {error.name}", file=sys.stderr)
    sys.exit(77)


def opens_with_onnxruntime(path):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    onnxruntime.InferenceSession(path)


def opens_with_onnx(path):
    onnx.load(path)
    onnx.checker.check_model(path)


def opens_with_openvino(path):
    import openvino

    core = openvino.Core()
    core.compile_model(core.read_model(path), "CPU")


OPENERS = {"onnxruntime": opens_with_onnxruntime, "onnx": opens_with_onnx, "openvino": opens_with_openvino}


def model(ir_version=8, opset=13, location=None):
    weight = numpy_helper.from_array(numpy.ones(1024, numpy.float32), "w")
    if location:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("length", "4096")):
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1024])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1024])], [weight])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = ir_version
    return made.SerializeToString()


def layouts(root):
    """Yields the path of one model in each layout."""

    def write(name, data):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def link(name, target, how=os.symlink):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        how(target, path)
        return path

    weights = b"\0\0\x80\x3f" * 1024
    for ir_version in range(8, 15):
        yield write(f"ir{ir_version}.onnx", model(ir_version=ir_version))
    for opset in range(20, 29):
        yield write(f"opset{opset}.onnx", model(opset=opset))
    data = write("plain/w.bin", weights)
    plain = write("plain/m.onnx", model(location="w.bin"))
    yield plain
    yield write("missing/m.onnx", model(location="w.bin"))
    write("short/w.bin", weights[:-4])
    yield write("short/m.onnx", model(location="w.bin"))
    yield write("absolute/m.onnx", model(location=data))
    yield write("beside/m.onnx", model(location="../plain/w.bin"))
    write("below/sub/w.bin", weights)
    yield write("below/m.onnx", model(location="sub/w.bin"))
    link("data_linked/w.bin", data)
    yield write("data_linked/m.onnx", model(location="w.bin"))
    yield link("model_linked/m.onnx", plain)
    link("both_linked/w.bin", data)
    yield link("both_linked/m.onnx", plain)
    write("near/real.bin", weights)
    link("near/w.bin", "real.bin")
    yield write("near/m.onnx", model(location="w.bin"))
    link("folder", os.path.join(root, "below"))
    yield os.path.join(root, "folder/m.onnx")
    write("named/w.bin", weights)
    link("named/again.bin", os.path.join(root, "named/w.bin"), os.link)
    yield write("named/m.onnx", model(location="w.bin"))


def target_of(program, version, targets):
    """The newest of doctor's targets that `version` is not older than."""
    wanted = [int(part) for part in version.split(".")[:2]]
    known = [name for name in targets if name.rpartition("-")[0] == program]
    fitting = [name for name in known if [int(part) for part in name.rpartition("-")[2].split(".")] <= wanted]
    return fitting[-1] if fitting else None


def doctor(wshare, path, *options):
    said = subprocess.run([wshare, "doctor", "--json", path, *options], capture_output=True, text=True)
    return json.loads(said.stdout)


def compare(wshare, root, program, version):
    """Returns how many layouts were compared, and how many of them are not as doctor says."""
    paths = list(layouts(root))
    target = target_of(program, version, doctor(wshare, paths[0])["targets"])
    if target is None:
        print(f"SKIPPED: {program} {version} is older than all that doctor knows", file=sys.stderr)
        return 0, 0
    print(f"{program} {version} as {target}", file=sys.stderr)
    wrong = 0
    for path in paths:
        report = doctor(wshare, path, "--target", target)
        try:
            OPENERS[program](path)
            opened, why = True, ""
        except Exception as error:
            opened, why = False, str(error).splitlines()[0][:200]
        if report["ok"] != opened:
            wrong += 1
            print(f"{target}: {os.path.relpath(path, root)}: opens: {opened} {why}; doctor: {report['findings']}")
    return len(paths), wrong


def main(wshare):
    compared = wrong = 0
    for program in OPENERS:
        try:
            version = importlib.import_module(program).__version__
        except ImportError:
            print(f"SKIPPED: {program} is not installed", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as root:
            counts = compare(wshare, root, program, version)
        compared += counts[0]
        wrong += counts[1]
    print(f"{compared} compared, {wrong} not as doctor says")
    sys.exit(77 if compared == 0 else 1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1])
