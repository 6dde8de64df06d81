"""A model package of `wshare export ort-package`, opened by onnxruntime's own reader of packages.

    model_package.py WSHARE ORIGINALS

Sessions of the components give what those of the originals give, and the asset is called as onnxruntime would call it.
Exits with 77 where there is no onnxruntime with ModelPackageContext (1.32 and newer).
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnxruntime
    from onnxruntime import ModelPackage, ModelPackageContext, ModelPackageOptions
except ImportError as error:
    print(f"SKIPPED: no model package was opened: {error}", file=sys.stderr)
    sys.exit(77)

TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}


def run(session):
    """The outputs for inputs of ones, with free dimensions of 2."""
    feed = {}
    for each in session.get_inputs():
        dims = [dim if isinstance(dim, int) else 2 for dim in each.shape]
        feed[each.name] = numpy.ones(dims, TYPES[each.type])
    return [output.tobytes() for output in session.run(None, feed)]


def options():
    made = onnxruntime.SessionOptions()
    made.log_severity_level = 3
    made.add_provider("CPUExecutionProvider", {})
    return ModelPackageOptions(made)


def check_sessions(package, originals):
    context = ModelPackageContext(package)
    names = sorted(context.get_component_names())
    assert names == sorted(name[:-5] for name in os.listdir(originals) if name.endswith(".onnx")), names
    for name in names:
        assert context.get_variant_ep_name(name, context.get_variant_names(name)[0]) == "CPUExecutionProvider"
        if name == "decoder_with_past":
            context.select_component(name, options()).create_session()  # ones are no sizes that fit together
            continue
        got = run(context.select_component(name, options()).create_session())
        original = onnxruntime.InferenceSession(os.path.join(originals, name + ".onnx"), providers=["CPUExecutionProvider"])
        assert got == run(original), f"{name}: outputs differ from the original's"


def check_asset(package):
    opened = ModelPackage.open(package)
    for asset in os.listdir(os.path.join(package, "shared_assets")):
        folder = os.path.join(package, "shared_assets", asset)
        uri = ModelPackage.compute_directory_hash(folder)
        assert uri.replace(":", "-") == asset, f"{asset}: onnxruntime calls it {uri}"
        assert os.path.realpath(opened.resolve_asset_uri(uri)) == os.path.realpath(folder)


def main():
    wshare, originals = sys.argv[1:]
    with tempfile.TemporaryDirectory() as root:
        bundle, package = os.path.join(root, "bundle"), os.path.join(root, "package")
        subprocess.run([wshare, "dedupe", "-q", originals, "-o", bundle], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([wshare, "export", "ort-package", bundle, package, "-q"], check=True, stdout=subprocess.DEVNULL)
        check_sessions(package, originals)
        check_asset(package)
    print(f"onnxruntime {onnxruntime.__version__}: sessions of all components, asset by its name")


if __name__ == "__main__":
    main()
