#include "faults/commands.h"

#include <cstdlib>
#include <sstream>
#include <string_view>

#include "format/manifest/text.h"
#include "import_adapter/fixture.h"

namespace wshare::test {
namespace {

using Seen = WritingCommand::Seen;

// Two models that share a weight large enough to be reserved, one with external data; a base, a
// task that differs by a product of rank 1, and an adapter; a model and one that moved from it.
void write_inputs() {
  const std::string trunk = noise((size_t{1} << 20) + 100, 1);
  write_file("in/a.onnx", bytes_of({raw("trunk", trunk), raw("head", noise(5000, 2))}));
  write_file("in/b.onnx",
             bytes_of({raw("trunk", trunk), external("w", 3000, {{"location", "sub/b.data"}})}));
  write_file("in/sub/b.data", noise(3000, 4));
  onnx::ModelProto base = small_model();
  write_file("lora/base.onnx", base.SerializeAsString());
  std::string& bytes = *base.mutable_graph()->mutable_initializer(1)->mutable_raw_data();
  for (size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
    float value = 0;
    std::memcpy(&value, &bytes[i * sizeof value], sizeof value);
    value += static_cast<float>((i / 8 + 1) * (i % 8 + 2)) / 64;
    std::memcpy(&bytes[i * sizeof value], &value, sizeof value);
  }
  write_file("lora/task.onnx", base.SerializeAsString());
  const std::vector<Given> given = pair("model.l.0.q", 6, 8, 2);
  const std::vector<NamedTensor> factors = named(given);  // borrow
  std::string adapter;
  write_safetensors(lay_out_safetensors(factors, {}), factors, append_to(adapter));
  write_file("news/adapter_model.safetensors", adapter);
  write_file("news/adapter_config.json", R"({"peft_type": "LORA", "r": 2, "lora_alpha": 3})");
  std::string weight = noise(8000, 5);
  write_file("kin/origin.onnx", bytes_of({raw("w", weight, Proto::FLOAT, {2000})}));
  for (size_t i = 0; i < weight.size(); i += sizeof(float))
    weight[i] = static_cast<char>(weight[i] ^ 3);
  write_file("kin/moved.onnx",
             bytes_of({raw("w", weight, Proto::FLOAT, {2000}), raw("head", noise(3000, 6))}));
#ifdef WSHARE_TEST_PACK
  write_file("runs/m.onnx", model_to_pack());
#endif
  write_file("keep/mine", "mine");
  for (const char* old : {"old/a.onnx", "old/sub/b.data", "old/mine"}) write_file(old, "mine");
}

// Lets the packs be those of another CPU.
[[maybe_unused]] void make_packs_foreign() {
  Manifest manifest = load_manifest("bundle");
  for (PackRecord& pack : manifest.packs) pack.cpu = "x86_64 Other";
  write_file(fs::path("bundle") / kManifestName, to_json(manifest));
}

const Arguments kDedupe = {"dedupe", "in", "-o", "bundle"};
const Arguments kDedupeOne = {"dedupe", "in/a.onnx", "-o", "bundle"};
const Arguments kExtract = {"extract-lora", "lora/task.onnx", "--base",      "lora/base.onnx",
                            "-o",           "bundle",         "--min-bytes", "64"};

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

std::vector<WritingCommand> writing_commands() {
  const Arguments forced = with(kDedupe, {"--force"}), extract_forced = with(kExtract, {"--force"});
  const Arguments peft = with(kExtract, {"--emit", "adapter,peft", "--peft-dir", "keep/peft"});
  const Arguments peft_forced = with(peft, {"--force"});
  const Arguments to_new = {"restore", "bundle", "-o", "new/back"};
  const Arguments to_mine = {"restore", "bundle", "-o", "keep"};
  const Arguments to_mine_forced = with(to_mine, {"--force"});
  const Arguments over_old = {"restore", "bundle", "-o", "old", "--force"};
  const Arguments page = {"inspect", "in", "--html", "page.html"};
  const Arguments append = {"append", "bundle", "in/b.onnx"}, remove = {"remove", "bundle", "b"};
  const Arguments compact = {"remove", "bundle", "--compact"};
  const Arguments import = {"import-adapter", "bundle", "news"};
  const Arguments kin = {"dedupe", "kin", "-o", "bundle"}, archive = {"archive", "bundle", "moved"},
                  thaw = {"thaw", "bundle", "moved"};
  const Arguments send = {"export", "oci", "bundle", "layout:v1"},
                  send_more = {"export", "oci", "bundle", "layout:v2"},
                  send_car = {"export", "oci", "bundle", "layout:v3", "--as", "car"},
                  send_copies = with(send_more, {"--links", "copy"}),
                  get = {"import", "oci", "layout:v1", "-o", "served"},
                  get_more = {"import", "oci", "layout:v2", "-o", "served"},
                  get_car = {"import", "oci", "layout:v3", "-o", "served"};
  constexpr Seen kWhole = Seen::kAllOrNothing;
  std::vector<WritingCommand> commands = {
      {"Dedupe", {}, kDedupe, forced, forced, kWhole},
      {"DedupeForce", {kDedupeOne}, forced, forced, forced, kWhole},
      {"ExtractLora", {}, kExtract, extract_forced, extract_forced, kWhole},
      {"ExtractLoraForce", {kDedupeOne}, extract_forced, extract_forced, extract_forced, kWhole},
      {"ExtractLoraPeft", {}, peft, peft_forced, peft_forced, Seen::kFileByFile},
      {"Append", {kDedupeOne}, append, append, append, Seen::kOldOrNew},
      {"Remove", {kDedupe}, remove, remove, remove, Seen::kOldOrNew},
      {"RemoveCompact", {kDedupe, remove}, compact, compact, compact, kWhole},
      {"ImportAdapter", {kExtract}, import, import, import, Seen::kOldOrNew},
      {"Archive", {kin}, archive, archive, archive, Seen::kOldOrNew},
      {"Thaw", {kin, archive}, thaw, thaw, thaw, Seen::kOldOrNew},
      {"Restore", {kDedupe}, to_new, with(to_new, {"--force"}), with(to_new, {"--force"}), kWhole},
      {"RestoreBeside", {kDedupe}, to_mine, to_mine_forced, to_mine_forced, Seen::kFileByFile},
      {"RestoreForce", {kDedupe}, over_old, over_old, over_old, Seen::kFileByFile},
      {"Page", {}, page, page, page, kWhole},
      {"ExportOci", {kDedupe}, send, send, send, kWhole},
      {"ExportOciBeside",
       {kDedupeOne, send, append},
       send_more,
       send_more,
       send_more,
       Seen::kOldOrNew},
      {"ExportOciCopies",
       {kDedupeOne, send, append},
       send_copies,
       send_copies,
       send_copies,
       Seen::kOldOrNew},
      {"ExportOciCar", {kDedupe, send}, send_car, send_car, send_car, Seen::kOldOrNew},
      {"ImportOci", {kDedupe, send}, get, get, get, kWhole},
      {"ImportOciOver",
       {kDedupeOne, send, get, append, send_more},
       get_more,
       get_more,
       get_more,
       kWhole},
      {"ImportOciCar", {kDedupe, send_car}, get_car, get_car, get_car, kWhole},
  };
#ifdef WSHARE_TEST_PACK
  const Arguments runs = {"dedupe", "runs", "-o", "bundle"}, pack = {"pack", "bundle"},
                  given_already = {"append", "bundle", "runs/m.onnx"};
  commands.push_back({"Pack", {runs}, pack, pack, given_already, Seen::kOldOrNew});
  const Arguments prune = {"pack", "bundle", "--prune"};
  commands.push_back(
      {"PackPrune", {runs, pack}, prune, prune, prune, Seen::kOldOrNew, 0, make_packs_foreign});
  commands.push_back({"PackBeside",
                      {runs, pack},
                      pack,
                      pack,
                      given_already,
                      Seen::kOldOrNew,
                      0,
                      make_packs_foreign});
#endif
  for (WritingCommand& command : commands) {
    // Calls come in one order only on one thread.
    for (Arguments& each : command.before) each.insert(each.end(), {"-j", "1"});
    for (Arguments* each : {&command.arguments, &command.again, &command.tidy_up})
      each->insert(each->end(), {"-j", "1"});
  }
  return commands;
}

bool is_look_at_disk(const FileCall& call) {
  return call.kind == FileCall::Kind::kOpen && std::string_view(call.path) == "/proc/meminfo";
}

bool is_sync(const FileCall& call) {
  return call.kind == FileCall::Kind::kSync || call.kind == FileCall::Kind::kSyncAll ||
         call.kind == FileCall::Kind::kStartSync;
}

Workplace::Workplace(const WritingCommand& command) : last_folder_(fs::current_path()) {
  const char* const temporary = std::getenv("TMPDIR");
  last_temporary_ = temporary == nullptr ? "" : temporary;
  fs::current_path(temp_.path());
  fs::create_directory("tmp");
  setenv("TMPDIR", (temp_ / "tmp").c_str(), 1);
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // it would leave files there
  write_inputs();
  for (uint32_t i = 0; i < command.more_inputs; ++i)
    write_file("many/" + std::to_string(i) + ".onnx", bytes_of({raw("w", noise(2000, i))}));
  for (const Arguments& each : command.before) {
    const Answer answer = run(each);
    EXPECT_EQ(answer.code, 0) << answer.said;
  }
  if (command.prepare != nullptr) command.prepare();
  before_ = now();
}

Workplace::~Workplace() {
  last_temporary_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", last_temporary_.c_str(), 1);
  std::error_code ignored;
  fs::current_path(last_folder_, ignored);
}

State Workplace::now() const {
  State state;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(".")) {
    state[entry.path().lexically_normal().string()] =
        entry.is_regular_file() ? read_file(entry.path()) : "a folder";
  }
  return state;
}

void Workplace::reset() const {
  const State state = now();
  if (state == before_) return;
  for (const auto& [path, bytes] : state) {
    const auto at = before_.find(path);
    if (at == before_.end() || at->second != bytes) fs::remove_all(path);
  }
  for (const auto& [path, bytes] : before_) {
    const auto at = state.find(path);
    if (at != state.end() && at->second == bytes) continue;
    if (bytes == "a folder") {
      fs::create_directories(path);
    } else {
      write_file(fs::path("./") / path, bytes);
    }
  }
}

Answer run(const Arguments& arguments) {
  std::ostringstream out, err;
  const int code = run_cli(arguments, out, err);
  return {code, err.str()};
}

}  // namespace wshare::test
