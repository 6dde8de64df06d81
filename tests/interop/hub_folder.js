// A folder of `wshare export hf` without wshare: opened by transformers.js in Node, as files and as a browser gets it,
// and by onnxruntime-web from the list for browsers. Outputs equal those of the originals.
//
//   hub_folder.js WSHARE ORIGINALS
//
// Looks for @huggingface/transformers 4 (with its onnxruntime-node and onnxruntime-web) where Node does (NODE_PATH):
//
//   npm install --ignore-scripts @huggingface/transformers@4.3.2 && NODE_PATH=$PWD/node_modules ...
//
// Exits with 77 when it is missing.

const assert = require("assert");
const { execFileSync } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");

let hub, node, web;
try {
  hub = require("@huggingface/transformers");
  node = require("onnxruntime-node");
  web = require("onnxruntime-web");
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
  console.error("SKIPPED: no folder of a hub was opened, since Node has no @huggingface/transformers");
  process.exit(77);
}

const MODELS = ["encoder", "decoder"];

// Ones for each input, with free dimensions of 2.
function makeInputs(names, Tensor) {
  const feeds = {};
  for (const name of names) {
    const isState = name.endsWith("hidden_states");
    const dims = isState ? [2, 2, 64] : [2, 2];
    const count = dims.reduce((product, dim) => product * dim, 1);
    feeds[name] = isState ? new Tensor("float32", new Float32Array(count).fill(1), dims)
                          : new Tensor("int64", new BigInt64Array(count).fill(1n), dims);
  }
  return feeds;
}

async function run(session, Tensor) {
  const outputs = await session.run(makeInputs(session.inputNames, Tensor));
  return session.outputNames.map((name) => outputs[name].data ?? outputs[name].cpuData);
}

const asBytes = (outputs) => outputs.map((each) => Buffer.from(each.buffer, each.byteOffset, each.byteLength));

// By transformers.js, which takes the names apart itself.
async function byTransformers(folder, model, options = {}) {
  const made = await hub.AutoModel.from_pretrained(path.basename(folder), {
    dtype: "fp32", model_file_name: `${model}_model`, ...options });
  return run(made.sessions.model, node.Tensor);
}

// By onnxruntime-web as a browser would: bytes that were fetched, no files.
async function byWeb(folder, model) {
  const list = JSON.parse(fs.readFileSync(path.join(folder, "onnx/external_data.json")));
  const read = (name) => new Uint8Array(fs.readFileSync(path.join(folder, name)));
  const session = await web.InferenceSession.create(read(`onnx/${model}_model.onnx`), {
    executionProviders: ["wasm"],
    externalData: list.models[`${model}_model.onnx`].map((each) => ({ path: each.path, data: read(each.data) })) });
  return run(session, web.Tensor);
}

// WebAssembly has kernels of its own: close, not equal.
function assertClose(outputs, expected, what) {
  for (const [i, output] of outputs.entries()) {
    assert.strictEqual(output.length, expected[i].length, what);
    for (let k = 0; k < output.length; ++k)
      assert(Math.abs(output[k] - expected[i][k]) <= 1e-4 * Math.max(1, Math.abs(expected[i][k])), `${what}: ${k}`);
  }
}

// Both sessions of one model, whose decoder has the name that transformers.js looks for.
async function checkEncoderDecoder(call, root) {
  const folder = path.join(root, "pair");
  call("export", "hf", path.join(root, "bundle"), folder, "--name", "decoder=decoder_model_merged");
  const sizes = { num_layers: 1, num_decoder_layers: 1, num_heads: 4, d_kv: 8, d_model: 64 };
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ model_type: "t5", ...sizes }));
  const made = await hub.AutoModelForSeq2SeqLM.from_pretrained("pair", { dtype: "fp32" });
  assert.deepStrictEqual(Object.keys(made.sessions), ["model", "decoder_model_merged"]);
}

async function check(wshare, originals, root) {
  const call = (...words) => execFileSync(wshare, [...words, "-q"], { stdio: ["ignore", "ignore", "inherit"] });
  call("dedupe", originals, "-o", path.join(root, "bundle"));
  hub.env.allowRemoteModels = false;
  hub.env.localModelPath = root + "/";
  web.env.wasm.numThreads = 1;
  web.env.logLevel = "error";
  await checkEncoderDecoder(call, root);
  for (const data of ["shared", "own"]) {
    const folder = path.join(root, data);
    call("export", "hf", path.join(root, "bundle"), folder, "--data", data);
    const list = JSON.parse(fs.readFileSync(path.join(folder, "onnx/external_data.json")));
    const ways = { files: {} };
    // As objects they are read, as they are where there are no files.
    if (data === "shared") ways.list = { session_options: { externalData: list.externalData } };
    const config = { model_type: "bert" };
    if (data === "own") config["transformers.js_config"] = { use_external_data_format: list.use_external_data_format };
    fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify(config));
    for (const model of MODELS) {
      const session = await node.InferenceSession.create(path.join(originals, `${model}.onnx`));
      const expected = await run(session, node.Tensor);
      for (const [way, options] of Object.entries(ways)) {
        const got = await byTransformers(folder, model, options);
        assert.deepStrictEqual(asBytes(got), asBytes(expected), `transformers.js, ${data}, ${way}: ${model}`);
      }
      assertClose(await byWeb(folder, model), expected, `onnxruntime-web, ${data}: ${model}`);
    }
    // What transformers.js would fetch for the model is there.
    for (const file of await hub.ModelRegistry.get_model_files(data, { dtype: "fp32", model_file_name: "encoder_model" }))
      assert(fs.existsSync(path.join(folder, file)), `${data}: no ${file}`);
    console.log(`transformers.js ${hub.env.version}, ${data}: equal; onnxruntime-web: close`);
  }
}

const root = fs.mkdtempSync(path.join(os.tmpdir(), "wshare-hub-"));
check(process.argv[2], path.resolve(process.argv[3]), root)
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => fs.rmSync(root, { recursive: true }));
