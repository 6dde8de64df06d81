#!/usr/bin/env python3
"""oci_registry.py WSHARE [CLIENTS]: bundles through a real registry, with the clients of others.

docker-registry (distribution 2.8) serves on a loopback port, skopeo pushes and pulls through a proxy
that counts bytes, and oras and modelpack-client (PyPI), from the folder CLIENTS or where else they are found, pull by
themselves. Exit 77: skipped, since one
of the first two is missing.
"""
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

SLACK = 60_000  # bytes of requests and headers that a push or a pull may take beside what is new


class Proxy:
    """Forwards a loopback port to another one and counts bytes both ways."""

    def __init__(self, target):
        self.target, self.up, self.down, self.lock = target, 0, 0, threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.socket.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(client, server, "up"), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, "down"), daemon=True).start()

    def pump(self, source, sink, way):
        try:
            while data := source.recv(1 << 16):
                with self.lock:
                    setattr(self, way, getattr(self, way) + len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take(self):
        """Returns what went up and down since the last call."""
        with self.lock:
            counted = self.up, self.down
            self.up = self.down = 0
        return counted


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")


def run(*command, environment=None):
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    check(result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stderr}")
    return result.stdout


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def start_registry(folder, port):
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n")
    log = open(folder / "registry.log", "wb")
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log,
                               env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process
        except OSError:
            time.sleep(0.05)
    sys.exit(f"FAILED: docker-registry ended: {(folder / 'registry.log').read_text()}")


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(key, value):
    return varint(key << 3) + varint(value)


def model(weights):
    """An ONNX model of these float32 weights and nothing that reads them."""
    graph = field(2, b"g")
    for name, data in weights.items():
        graph += field(5, number(1, len(data) // 4) + number(2, 1) + field(8, name.encode()) + field(9, data))
    return number(1, 8) + field(7, graph) + field(8, number(2, 17))


def files_of(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


class Road:
    """The registry, and what goes there and comes back."""

    def __init__(self, wshare, folder, proxy):
        self.wshare, self.folder, self.proxy = wshare, folder, proxy
        self.registry = f"127.0.0.1:{proxy.port}/models/bundle"

    def export(self, bundle, layout, tag, *options):
        return json.loads(run(self.wshare, "export", "oci", str(bundle), f"{layout}:{tag}", "--json", *options))

    def push(self, layout, tag):
        self.proxy.take()
        run("skopeo", "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false",
            f"oci:{layout}:{tag}", f"docker://{self.registry}:{tag}")
        return self.proxy.take()[0]

    def pull(self, layout, tag):
        self.proxy.take()
        run("skopeo", "--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false",
            f"docker://{self.registry}:{tag}", f"oci:{layout}:{tag}")
        return self.proxy.take()[1]

    def import_(self, layout, tag, bundle):
        report = json.loads(run(self.wshare, "import", "oci", f"{layout}:{tag}", "-o", str(bundle), "--json"))
        run(self.wshare, "verify", str(bundle))
        return report


def check_form(road, form):
    """Pushes v1, appends a model, pushes v2; pulls both, imports both."""
    folder = road.folder / form
    folder.mkdir()
    source, served = folder / "bundle", folder / "served"
    random.seed(7)
    trunk = random.randbytes(8 << 20)
    for name in "abc":
        (folder / f"{name}.onnx").write_bytes(model({"trunk": trunk, "head": random.randbytes(1 << 20)}))
    run(road.wshare, "dedupe", str(folder / "a.onnx"), str(folder / "b.onnx"), "-o", str(source))
    options = () if form == "artifact" else ("--as", form)
    here, there = folder / "here", folder / "there"
    first = road.export(source, here, f"{form}-v1", *options)
    up = road.push(here, f"{form}-v1")
    check(up <= first["new_bytes"] + SLACK, f"{form}: first push took {up} bytes, new are {first['new_bytes']}")
    down = road.pull(there, f"{form}-v1")
    road.import_(there, f"{form}-v1", served)
    check(files_of(served) == files_of(source), f"{form}: other files came back")
    run(road.wshare, "append", str(source), str(folder / "c.onnx"))
    second = road.export(source, here, f"{form}-v2", *options)
    check(second["new_bytes"] < (1 << 20) + SLACK, f"{form}: {second['new_bytes']} bytes are new after one head more")
    up2 = road.push(here, f"{form}-v2")
    check(up2 <= second["new_bytes"] + SLACK, f"{form}: append took {up2} bytes up, new are {second['new_bytes']}")
    down2 = road.pull(there, f"{form}-v2")
    check(down2 <= second["new_bytes"] + SLACK, f"{form}: append took {down2} bytes down, new are {second['new_bytes']}")
    report = road.import_(there, f"{form}-v2", served)
    check(report["updated"] and report["added"] == ["c"], f"{form}: {report}")
    check(files_of(served) == files_of(source), f"{form}: other files came back after the append")
    print(f"{form}: v1 {first['bytes']} bytes, {up} up, {down} down; append {second['new_bytes']} new, {up2} up, {down2} down")
    return source


def check_oras(road, source):
    """What a client that nobody here wrote makes of the artifact: all files under their names."""
    try:
        import oras.client
    except ImportError:
        print("NOT TESTED: oras (pip install oras) cannot be imported")
        return
    target = road.folder / "oras"
    client = oras.client.OrasClient(hostname=f"127.0.0.1:{road.proxy.port}", insecure=True)
    client.pull(target=f"{road.registry}:artifact-v2", outdir=str(target))
    check(files_of(target) == files_of(source), "oras pulled other files")
    run(road.wshare, "verify", str(target))
    print("oras: all files under their names")


def check_modelpack(road, source):
    """ModelPack's own client."""
    try:
        import modelpack_client  # noqa: F401
    except ImportError:
        print("NOT TESTED: modelpack-client (PyPI) cannot be imported")
        return
    target = road.folder / "modelpack"
    run(sys.executable, "-m", "modelpack_client", "--insecure", "pull", f"{road.registry}:artifact-v2", str(target),
        environment={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    check(files_of(target) == files_of(source), "modelpack-client pulled other files")
    print("modelpack-client: all files under their names")


def check_umoci(road, source):
    """What unpacks images sees the bundle's files and no others, also where some were hidden."""
    if shutil.which("umoci") is None:
        print("NOT TESTED: no umoci")
        return
    run(road.wshare, "remove", str(source), "a")
    road.export(source, road.folder / "car" / "here", "car-v3", "--as", "car")
    target = road.folder / "unpacked"
    run("umoci", "unpack", "--rootless", "--image", f"{road.folder / 'car' / 'here'}:car-v3", str(target))
    check(files_of(target / "rootfs" / "models") == files_of(source), "umoci unpacked other files")
    print("umoci: the image has the bundle's files and no others, one model removed")


def main():
    wshare = sys.argv[1]
    sys.path.extend(sys.argv[2:])
    missing = [tool for tool in ("docker-registry", "skopeo") if shutil.which(tool) is None]
    if missing:
        print(f"NOT TESTED: no {' and no '.join(missing)}; tools/setup.sh --registry installs them")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        registry = start_registry(folder, port := free_port())
        try:
            road = Road(wshare, folder, Proxy(port))
            source = check_form(road, "artifact")
            check_oras(road, source)
            check_modelpack(road, source)
            check_umoci(road, check_form(road, "car"))
        finally:
            registry.terminate()
            registry.wait()


main()
