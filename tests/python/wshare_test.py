"""The Python package over the onnxruntime that this Python has, whatever its version.

    wshare_test.py PACKAGE PROGRAM POOL TASKS ORIGINALS [unittest's arguments]

PACKAGE is the folder that has wshare/ in it ("" where it is installed), PROGRAM the command, POOL
and TASKS the bundles that tests/runtime_c makes, ORIGINALS the models of POOL. Exits with 77 when
onnxruntime or numpy is missing.
"""

import asyncio
import ctypes
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

SKIPPED = 77
PACKAGE, PROGRAM, POOL, TASKS, ORIGINALS = sys.argv[1:6]
if PACKAGE:
    sys.path.insert(0, PACKAGE)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
try:
    import numpy
    import onnxruntime
except ImportError as error:
    print(f"SKIPPED: the Python package was not tested, since Python has no {error.name}", file=sys.stderr)
    sys.exit(SKIPPED)
import wshare

onnxruntime.set_default_logger_severity(3)
RELEASE = int(onnxruntime.__version__.split(".")[1])
UNPACKED = "lent" if RELEASE >= 32 else "mapped"
INVALID, IO, UNSUPPORTED, RUNTIME = 4, 3, 5, 6
IDS = {"input_ids": [[5, 7, 11, 1]], "attention_mask": [[1, 1, 1, 1]], "decoder_input_ids": [[0, 3]]}
FEED = {name: numpy.array(ids, numpy.int64) for name, ids in IDS.items()}
ENCODER = {name: FEED[name] for name in ("input_ids", "attention_mask")}


def quiet(**attributes):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for name, value in attributes.items():
        setattr(options, name, value)
    return options


def plain(path):
    return onnxruntime.InferenceSession(path, quiet(), providers=["CPUExecutionProvider"])


def bits(outputs):
    return [output.tobytes() for output in outputs]


def library_of_onnxruntime():
    """What 'wshare pack' takes, so that packs are of the release that opens them; None: it has none."""
    folder = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")
    return folder if any(name.startswith("libonnxruntime.so") for name in os.listdir(folder)) else None


def command(*arguments):
    subprocess.run([PROGRAM, *arguments, "--quiet"], check=True, stdout=subprocess.DEVNULL)


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def edit_manifest(path, old, new):
    """Replaces text, and seals it anew: docs/bundle-format.md, "manifest.json"."""
    try:
        xxhash = ctypes.CDLL("libxxhash.so.0").XXH3_128bits
    except OSError as error:
        raise unittest.SkipTest(f"no manifest can be sealed: {error}")
    xxhash.restype = Hash128
    with open(path, "rb") as file:
        text = file.read()
    assert old.encode() in text, old
    text = text.replace(old.encode(), new.encode())
    tail = text[-4:]
    text = text[:-36] + b"0" * 32 + tail
    digest = xxhash(text, ctypes.c_size_t(len(text)))
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(text[:-36] + f"{digest.high:016x}{digest.low:016x}".encode() + tail)


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def copy(self, bundle):
        return shutil.copytree(bundle, os.path.join(self.folder, "bundle"))

    def refused(self, code, pattern, call, *arguments, **more):
        with self.assertRaisesRegex(wshare.Error, pattern) as caught:
            call(*arguments, **more)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception


class ABundle(WithFolder):
    def test_lists_its_models_without_an_onnxruntime(self):
        code = (f"import sys; sys.path.insert(0, {PACKAGE!r}) if {PACKAGE!r} else None\n"
                f"import wshare; print(wshare.Bundle({POOL!r}).names)\n"
                "assert 'onnxruntime' not in sys.modules and 'numpy' not in sys.modules\n"
                "assert 'libonnxruntime' not in open('/proc/self/maps').read()")
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        self.assertIn("'encoder'", out.stdout)

    def test_says_how_and_why_before_there_is_a_session(self):
        bundle = wshare.Bundle(POOL)
        how = bundle.how("encoder")
        self.assertEqual((how.way, how.file, how.onnxruntime), (UNPACKED, "encoder.onnx", onnxruntime.__version__))
        self.assertIn("has no pack", how.why)
        self.assertEqual(bundle.packs("encoder"), [])
        weights = os.path.getsize(os.path.join(POOL, "shared.bin"))
        self.assertTrue(0 < bundle.size("encoder") < weights + (1 << 20))

    def test_refuses_what_is_no_bundle_or_no_model(self):
        self.refused(IO, "no such folder", wshare.Bundle, "no such folder")
        self.refused(INVALID, "nobody", wshare.Bundle(POOL).session, "nobody")

    def test_refuses_damaged_and_missing_files(self):
        path = self.copy(POOL)
        with open(os.path.join(path, "encoder.onnx"), "r+b") as file:
            file.seek(100)
            byte = file.read(1)[0]
            file.seek(100)
            file.write(bytes([byte ^ 1]))
        self.refused(INVALID, "encoder.onnx", wshare.Bundle(path).session, "encoder")
        os.truncate(os.path.join(path, "shared.bin"), 100)
        self.refused(INVALID, "shared.bin", wshare.Bundle(path).session, "decoder")
        os.unlink(os.path.join(path, "shared.bin"))
        self.refused(IO, "shared.bin", wshare.Bundle(path).session, "decoder")

    def test_that_is_reloaded_has_what_came_since(self):
        path = self.copy(POOL)
        bundle = wshare.Bundle(path)
        session = bundle.session("encoder")
        self.assertFalse(bundle.reload())
        command("remove", path, "encoder")
        self.assertIn("encoder", bundle.names)
        self.refused(IO, "(?s)changed or removed|missing", bundle.session, "encoder")
        self.assertTrue(bundle.reload())
        self.assertNotIn("encoder", bundle.names)
        self.assertTrue(bits(session.run(None, ENCODER)))  # goes on

    def test_stays_the_folder_that_it_opened(self):
        path = self.copy(POOL)
        bundle = wshare.Bundle(path)
        os.rename(path, path + ".moved")
        os.mkdir(path)
        self.assertTrue(bundle.session("encoder").run(None, ENCODER))


class ASession(WithFolder):
    def test_has_the_bits_of_the_original_and_no_pages_of_its_own(self):
        expected = bits(plain(os.path.join(ORIGINALS, "encoder.onnx")).run(None, ENCODER))
        for options in (None, quiet(intra_op_num_threads=1)):
            bundle = wshare.Bundle(POOL)
            session = bundle.session("encoder", session_options=options)
            self.assertIsInstance(session, onnxruntime.InferenceSession)
            self.assertEqual(bundle.how("encoder").way, UNPACKED if options is None else "mapped")
            del bundle
            gc.collect()
            self.assertEqual(bits(session.run(None, ENCODER)), expected)
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as maps:
            blobs = re.findall(r"shared\.bin\n(?:[A-Z]\w+: .*\n)+", maps.read())
        self.assertTrue(blobs)
        for blob in blobs:
            self.assertRegex(blob, r"Private_Dirty: +0 kB")

    def test_honours_options_and_leaves_them_alone(self):
        options = quiet(intra_op_num_threads=1, optimized_model_filepath=os.path.join(self.folder, "seen.onnx"))
        wshare.Bundle(POOL).session("encoder", session_options=options)
        self.assertTrue(os.path.exists(options.optimized_model_filepath))
        self.assertEqual(options.graph_optimization_level, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
        entry = "session.use_external_initializer_file_buffers_directly"
        with self.assertRaises(Exception):
            options.get_session_config_entry(entry)

    def test_refuses_options_by_name(self):
        options, entry = quiet(), "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(entry, "/tmp")
        self.refused(UNSUPPORTED, entry + "=/tmp", wshare.Bundle(POOL).session, "encoder", session_options=options)

    def test_fails_with_the_name_of_the_model(self):
        options = quiet(optimized_model_filepath="/no such folder/model.onnx")
        self.refused(RUNTIME, "^'encoder': [^\\n]*\\S", wshare.Bundle(POOL).session, "encoder",
                     session_options=options)

    def test_may_be_opened_by_many_threads_and_tasks_of_asyncio(self):
        bundle, outputs = wshare.Bundle(POOL), []

        def use():
            outputs.append(bits(bundle.session("encoder").run(None, ENCODER)))

        async def use_all():
            await asyncio.gather(*(asyncio.get_running_loop().run_in_executor(None, use) for _ in range(4)))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(use_all())
        self.assertEqual(len(outputs), 8)
        self.assertTrue(all(each == outputs[0] for each in outputs))


@unittest.skipIf(library_of_onnxruntime() is None, "this onnxruntime has no library to pack with")
class APackedSession(WithFolder):
    def setUp(self):
        super().setUp()
        self.path = self.copy(POOL)
        command("pack", self.path, "--model", "encoder", "--onnxruntime", library_of_onnxruntime())
        self.manifest = os.path.join(self.path, "manifest.json")
        with open(self.manifest, encoding="utf-8") as file:
            self.record = json.load(file)["packs"][0]

    def test_has_the_bits_of_the_original(self):
        bundle = wshare.Bundle(self.path)
        self.assertTrue(bundle.packs("encoder")[0].fits)
        session = bundle.session("encoder")
        self.assertEqual((bundle.how("encoder").way, bundle.how("encoder").why), ("packed", ""))
        self.assertEqual(bits(session.run(None, ENCODER)),
                         bits(plain(os.path.join(ORIGINALS, "encoder.onnx")).run(None, ENCODER)))

    def test_honours_options_and_leaves_them_alone(self):
        bundle, options = wshare.Bundle(self.path), quiet(intra_op_num_threads=1)
        bundle.session("encoder", session_options=options)
        self.assertEqual(bundle.how("encoder").way, "packed")
        self.assertEqual(options.graph_optimization_level, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)

    def test_is_not_made_against_options(self):
        off = quiet()
        off.add_session_config_entry("session.disable_prepacking", "1")
        basic = quiet(graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
        for options, why in ((off, "switch packing off"), (basic, "ask for 'basic'")):
            bundle = wshare.Bundle(self.path)
            bundle.session("encoder", session_options=options)
            self.assertEqual(bundle.how("encoder").way, "mapped")
            self.assertIn(why, bundle.how("encoder").why)

    def test_is_not_made_over_a_pack_for_another_cpu(self):
        edit_manifest(self.manifest, self.record["cpu"], self.record["cpu"] + " amx_none")
        bundle = wshare.Bundle(self.path)
        self.assertIn("another CPU: -amx_none", bundle.packs("encoder")[0].why_not)
        bundle.session("encoder")
        self.assertEqual(bundle.how("encoder").way, UNPACKED)
        self.assertIn("another CPU: -amx_none", bundle.how("encoder").why)

    def test_is_made_over_a_pack_of_another_release_only_where_onnxruntime_compares(self):
        edit_manifest(self.manifest, f'"{self.record["onnxruntime"]}"', '"1.99.0"')
        bundle = wshare.Bundle(self.path)
        session = bundle.session("encoder")
        self.assertEqual(bundle.how("encoder").way, "packed" if RELEASE >= 32 else "mapped")
        if RELEASE < 32:
            self.assertIn("1.99.0", bundle.how("encoder").why)
        self.assertTrue(session.run(None, ENCODER))

    def test_is_not_made_over_missing_or_other_files(self):
        bundle = wshare.Bundle(self.path)
        blob = os.path.join(self.path, "packed.bin")
        os.rename(blob, blob + ".away")
        self.assertIn("'packed.bin' is missing", bundle.packs("encoder")[0].why_not)
        with open(blob, "wb") as file:
            file.write(b"1")
        self.refused(INVALID, "packed.bin", bundle.session, "encoder")
        os.rename(blob + ".away", blob)
        with open(os.path.join(self.path, self.record["file"]), "ab") as file:
            file.write(b"1")
        self.refused(INVALID, re.escape(self.record["file"]), wshare.Bundle(self.path).session, "encoder")

    def test_gives_way_where_onnxruntime_refuses_the_pack(self):
        tried = []

        def make(plan, way, *more):
            tried.append(way["way"])
            if way["way"] == "packed":
                raise RuntimeError("packs in another way: " + way["path"])
            return really_make(plan, way, *more)

        really_make, wshare._bundle._make = wshare._bundle._make, make
        self.addCleanup(setattr, wshare._bundle, "_make", really_make)
        bundle = wshare.Bundle(self.path)
        bundle.session("encoder")
        bundle.session("encoder")
        self.assertEqual(tried, ["packed", UNPACKED, UNPACKED])  # in vain once
        self.assertEqual(bundle.how("encoder").why, "ONNX Runtime refuses its pack: packs in another way: " +
                         os.path.join(self.path, self.record["file"]))


class Tasks(WithFolder):
    def expected(self, task):
        base = plain(os.path.join(TASKS, "base.onnx"))
        if not task:
            return bits(base.run(None, FEED))
        adapter, options = onnxruntime.LoraAdapter(), onnxruntime.RunOptions()
        adapter.Load(os.path.join(TASKS, task + ".onnx_adapter"))
        options.add_active_adapter(adapter)
        return bits(base.run(None, FEED, options))

    def test_run_with_their_adapters(self):
        tasks = wshare.Bundle(TASKS).tasks("base")
        self.assertEqual(tasks.names, ["summarize", "translate"])
        outputs = {task: bits(tasks.run(task, FEED)) for task in ["", *tasks.names]}
        for task, given in outputs.items():
            self.assertEqual(given, self.expected(task), task)
        self.assertNotEqual(outputs["summarize"], outputs["translate"])
        self.assertEqual(bits(tasks.run("summarize", FEED, ["logits"])), outputs["summarize"][:1])

    def test_may_be_run_by_many_threads(self):
        tasks, outputs = wshare.Bundle(TASKS).tasks("base"), []

        def use(task):
            outputs.append((task, bits(tasks.run(task, FEED))))

        threads = [threading.Thread(target=use, args=(task,)) for task in tasks.names * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(set(map(str, outputs))), 2)

    def test_that_are_none_are_refused(self):
        tasks = wshare.Bundle(TASKS).tasks("base")
        error = self.refused(INVALID, "'nobody': no such task over 'base'", tasks.run, "nobody", FEED)
        self.assertIn("'summarize', 'translate'", error.hint)
        self.refused(INVALID, "'summarize': no such task over 'encoder'",
                     wshare.Bundle(POOL).tasks("encoder").run, "summarize", ENCODER)

    def test_give_what_the_caller_must_not(self):
        tasks = wshare.Bundle(TASKS).tasks("base")
        name = sorted(tasks._adapter("summarize")[1])[0]
        self.refused(INVALID, "is given by the task and by the caller", tasks.run, "summarize",
                     {**FEED, name: numpy.zeros((1, 1), numpy.float32)})

    def test_with_a_damaged_adapter_or_one_that_does_not_fit_are_refused(self):
        path = self.copy(TASKS)
        adapter = os.path.join(path, "summarize.onnx_adapter")
        with open(adapter, "r+b") as file:
            file.seek(-5, os.SEEK_END)
            byte = file.read(1)[0]
            file.seek(-5, os.SEEK_END)
            file.write(bytes([byte ^ 1]))
        tasks = wshare.Bundle(path).tasks("base")
        self.refused(INVALID, "summarize.onnx_adapter", tasks.run, "summarize", FEED)
        self.assertEqual(bits(tasks.run("translate", FEED)), self.expected("translate"))
        inputs = json.loads(tasks._inputs)
        for each in inputs:
            each["type"] = "int8"
        tasks._inputs = json.dumps(inputs).encode()
        tasks._loaded.clear()
        self.refused(INVALID, "has another element type", tasks.run, "translate", FEED)

    def test_follow_a_reload(self):
        path = self.copy(TASKS)
        bundle = wshare.Bundle(path)
        tasks = bundle.tasks("base")
        tasks.run("summarize", FEED)
        command("remove", path, "summarize")
        self.assertTrue(tasks.run("summarize", FEED))  # until it is reloaded
        self.assertTrue(bundle.reload())
        self.assertEqual(tasks.names, ["translate"])
        self.refused(INVALID, "no such task", tasks.run, "summarize", FEED)


class TheCommand(unittest.TestCase):
    def test_runs_with_the_onnxruntime_of_this_python(self):
        environment = {**os.environ, "PYTHONPATH": PACKAGE} if PACKAGE else dict(os.environ)
        run = [sys.executable, "-m", "wshare"]
        out = subprocess.run([*run, "--version"], env=environment, check=True, capture_output=True, text=True)
        self.assertIn(wshare.__version__, out.stdout)
        if library_of_onnxruntime():
            self.assertIn(onnxruntime.__version__, out.stdout)
        failed = subprocess.run([*run, "verify", "no such folder"], env=environment, capture_output=True)
        self.assertEqual(failed.returncode, IO)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[6:]])
