// A bundle without wshare, in a service on Node: plain sessions of npm's onnxruntime-node, whatever its version.
//
//   plain_session.js BUNDLE ORIGINALS    outputs equal those of the originals, and unpacked weights stay in the page
//                                        cache, where all processes have them once
//   plain_session.js --memory FILE N     prints what N sessions of the model FILE take, packed and not
//
// Looks for the package where Node does (NODE_PATH). Exits with 77 when it is missing.

const assert = require("assert");
const { execFileSync } = require("child_process");
const fs = require("fs");
const path = require("path");

const SKIPPED = 77;
let ort;
try {
  ort = require("onnxruntime-node");
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
  console.error("SKIPPED: no plain session was opened, since Node has no onnxruntime-node");
  process.exit(SKIPPED);
}

const version = require("onnxruntime-node/package.json").version;

function openSession(file, packs = true) {
  const options = { executionProviders: ["cpu"], logSeverityLevel: 3, intraOpNumThreads: 1 };
  if (!packs) options.extra = { session: { disable_prepacking: "1" } };
  return ort.InferenceSession.create(file, options);
}

// Inputs of ones, with free dimensions of 2. A version that does not tell shapes and types is taken to run an encoder
// or a decoder without past.
function makeInputs(session) {
  const feeds = {};
  for (const [i, name] of session.inputNames.entries()) {
    const isState = name.endsWith("hidden_states");
    const { type, shape } = session.inputMetadata
      ? session.inputMetadata[i]
      : { type: isState ? "float32" : "int64", shape: isState ? [2, 2, 64] : [2, 2] };
    const dims = shape.map((dim) => (typeof dim === "number" ? dim : 2));
    const count = dims.reduce((product, dim) => product * dim, 1);
    const ones = type === "int64" ? new BigInt64Array(count).fill(1n) : new Float32Array(count).fill(1);
    feeds[name] = new ort.Tensor(type, ones, dims);
  }
  return feeds;
}

// The bytes of all outputs.
async function run(session) {
  const outputs = await session.run(makeInputs(session));
  return session.outputNames.map((name) => {
    const data = outputs[name].data;
    return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
  });
}

// {field: KiB} summed over this process's maps of files that `counts` says yes to.
function kibOf(counts) {
  const sums = {};
  let on = false;
  for (const line of fs.readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const field = /^(\w+): +(\d+) kB/.exec(line);
    if (field && on) sums[field[1]] = (sums[field[1]] || 0) + Number(field[2]);
    else if (!field && /^[0-9a-f]+-[0-9a-f]+ /.test(line)) on = counts(line);
  }
  return sums;
}

async function check(bundle, originals) {
  const folder = fs.realpathSync(bundle) + "/";
  for (const model of ["encoder", "decoder"]) {
    const original = await run(await openSession(path.join(originals, model + ".onnx")));
    const packed = await openSession(path.join(bundle, model + ".onnx"));
    assert.deepStrictEqual(await run(packed), original, `${model}: outputs differ from the original's`);
    const unpacked = await openSession(path.join(bundle, model + ".onnx"), false);
    await run(unpacked);
    const blobs = kibOf((line) => line.includes(folder) && line.endsWith(".bin"));
    assert(blobs.Size > 0, `${model}: its weights were copied, not mapped`);
    assert(blobs.Private_Dirty === 0 && blobs.Anonymous === 0, `${model}: has pages of its own`);
  }
  console.log(`plain sessions of onnxruntime-node ${version}: equal, weights in place`);
}

// In a process of its own for each way, so that one does not use what the other has freed.
async function printMemory(file, count, packs) {
  if (packs === undefined) {
    for (const each of ["packed", "unpacked"])
      process.stdout.write(execFileSync(process.execPath, [__filename, "--memory", file, count, each]));
    return;
  }
  const before = kibOf(() => true);
  const sessions = [];
  for (let i = 0; i < Number(count); ++i) sessions.push(await openSession(file, packs === "packed"));
  for (const session of sessions) await run(session);
  const after = kibOf(() => true);
  const grown = ["Pss", "Anonymous"].map((field) => `${field} ${Math.floor((after[field] - before[field]) / 1024)} MiB`);
  console.log(`${sessions.length} sessions, ${packs}: ${grown.join(", ")}`);
}

const [first, ...rest] = process.argv.slice(2);
const done = first === "--memory" ? printMemory(...rest) : check(first, ...rest);
done.catch((error) => {
  console.error(error.message);
  process.exit(1);
});
