"""docs/examples/service under load, while its bundle changes: every request must have the right answer.

    load_test.py SERVICE WSHARE FAMILY FOLDER [REQUESTS]

FAMILY is testdata/t5-lora, FOLDER is made anew. 8 workers send REQUESTS requests each (100) and more, one after
another, of the base and its tasks in turn, while a task is appended five times and taken out again, and the service
reloads after each. Prints what was measured, on one line each.
"""

import collections
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time

WORKERS, ROUNDS = 8, 5


def call(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def kib(process, field):
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


class Client:
    def __init__(self, address):
        self.host = address.removeprefix("http://")

    def send(self, path, body=b"", method="POST"):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request(method, path, body, {"Connection": "close"})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, answer


def input_size(client):
    """The service refuses what is too short or too long: with free dimensions of 1 there are few sizes."""
    for size in range(0, 4096, 4):
        if client.send("/base", b"\0" * size)[0] == 200:
            return size
    raise AssertionError("no size of a request is right")


def work(client, paths, body, right, requests, is_over, took, wrong):
    for i in range(100 * requests):
        if i >= requests and is_over.is_set():
            break
        path = paths[i % len(paths)]
        start = time.monotonic()
        status, answer = client.send(path, body)
        took.append(time.monotonic() - start)
        if status != 200 or answer != right[path]:
            wrong.append((path, status, answer[:200]))


def change(client, wshare, bundle, family, body, right, is_over):
    """Appends a task and takes it out again, a few times."""
    try:
        for _ in range(ROUNDS):
            call(wshare, "append", "--quiet", bundle, f"{family}/classify.onnx")
            assert client.send("/reload")[0] == 200
            status, answer = client.send("/base/classify", body)
            assert status == 200 and answer == right.setdefault("/base/classify", answer), (status, answer[:200])
            assert answer != right["/base"]
            call(wshare, "remove", "--quiet", bundle, "classify")
            assert client.send("/reload")[0] == 200
            assert client.send("/base/classify", body)[0] == 404
        return True
    finally:
        is_over.set()


def main(service, wshare, family, folder, requests="100"):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    bundle = os.path.join(folder, "bundle")
    call(wshare, "extract-lora", "--quiet", "--base", f"{family}/base.onnx", f"{family}/summarize.onnx",
         f"{family}/translate.onnx", "-o", bundle)
    process = subprocess.Popen([service, bundle], stdout=subprocess.PIPE, text=True)
    try:
        client = Client(process.stdout.readline().strip())
        status, names = client.send("/", method="GET")
        assert status == 200 and names.split() == [b"base", b"base/summarize", b"base/translate"], names
        paths = ["/" + name.decode() for name in names.split()]
        body = bytes(input_size(client))
        right = {path: client.send(path, body)[1] for path in paths}
        assert len(set(right.values())) == len(paths), "tasks do not differ"
        before = kib(process, "Pss"), kib(process, "Anonymous")

        took, wrong, is_over = collections.deque(), collections.deque(), threading.Event()
        workers = [threading.Thread(target=work, args=(client, paths[i % 3:] + paths[:i % 3], body, right, int(requests),
                                                       is_over, took, wrong)) for i in range(WORKERS)]
        changed = []
        changes = threading.Thread(target=lambda: changed.append(
            change(client, wshare, bundle, family, body, right, is_over)))
        start = time.monotonic()
        for thread in (*workers, changes):
            thread.start()
        for thread in workers:
            thread.join()
        seconds = time.monotonic() - start
        changes.join()
        after = kib(process, "Pss"), kib(process, "Anonymous")
        took = sorted(took)
        print(f"requests: {len(took)}, failed or wrong: {len(wrong)}, of {WORKERS} workers in {seconds:.1f} s")
        print(f"a second: {len(took) / seconds:.0f}, ms: {1000 * took[len(took) // 2]:.1f} median,"
              f" {1000 * took[len(took) * 99 // 100]:.1f} of 99 %, {1000 * took[-1]:.1f} the longest")
        print(f"meanwhile, {ROUNDS} times: a task appended, reloaded, the task removed, reloaded")
        print(f"PSS before and after: {before[0] >> 10} and {after[0] >> 10} MiB,"
              f" anonymous {before[1] >> 10} and {after[1] >> 10} MiB")
        assert not wrong, list(wrong)[:3]
        assert changed, "the bundle was not changed as it should be"
        assert process.poll() is None, "the service ended"
    finally:
        process.terminate()
        process.wait()


if len(sys.argv) < 5:
    sys.exit(__doc__)
main(*sys.argv[1:])
