// A bundle whose manifest and files are changed: [bundle][command][edits...]. Bytes alone would
// never get past the manifest's seal, so values are exchanged for others that are likely to matter.

#include <map>
#include <nlohmann/json.hpp>

#include "format/manifest/text.h"
#include "fuzz/files.h"
#include "wshare/append.h"
#include "wshare/archive.h"
#include "wshare/dedupe.h"
#include "wshare/extract_lora.h"
#include "wshare/import_adapter.h"
#include "wshare/inspect.h"
#include "wshare/remove.h"
#include "wshare/restore.h"
#include "wshare/thaw.h"
#include "wshare/verify.h"

namespace fs = std::filesystem;
using namespace wshare;
using namespace wshare::fuzz;
using Json = nlohmann::ordered_json;

namespace {

const std::string kTestdata = WSHARE_TESTDATA;

using Files = std::map<std::string, std::string>;

Files files_of(const fs::path& bundle) {
  Files files;
  for (const fs::directory_entry& entry : fs::directory_iterator(bundle))
    files[entry.path().filename().string()] = read_file(entry.path());
  return files;
}

// A bundle of models, one with tasks, one with packs, one with archived models, one with a chain
// of them.
std::vector<Files> make_bundles() {
  const fs::path made = work_folder() / "made";
  const auto model = [](const char* file) { return fs::path(kTestdata + file); };
  DedupeOptions options;
  options.replace = true;
  dedupe({{"a", model("/external/one_file.onnx")}, {"b", model("/external/mixed.onnx")}}, made,
         options);
  std::vector<Files> bundles = {files_of(made)};
  ExtractOptions extracting;
  extracting.replace = true;
  extracting.base = "base=" + kTestdata + "/t5-lora/base.onnx";
  extract_lora({{"task", model("/t5-lora/classify.onnx")}}, made, extracting);
  bundles.push_back(files_of(made));
  bundles.push_back(files_of(kTestdata + "/compat/packed"));
  bundles.push_back(files_of(kTestdata + "/compat/archived"));
  bundles.push_back(files_of(kTestdata + "/compat/chain"));
  return bundles;
}

void collect(Json& json, std::vector<Json*>& all) {
  all.push_back(&json);
  if (!json.is_structured()) return;
  for (Json& each : json) collect(each, all);
}

Json next_value(Input& input, const std::vector<Json*>& all) {
  static const char* const kTexts[] = {"",     "..",          "/etc/passwd",   "a/b",  "-rf",
                                       "a\nb", ".hidden",     "manifest.json", "base", "float32",
                                       "int4", "restore.bin", "../out/x",      "a",    "task"};
  static constexpr uint64_t kNumbers[] = {0,          1,         2,          63,         64,
                                          4095,       4096,      65536,      0x7fffffff, 0xffffffff,
                                          1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX};
  switch (input.byte() % 7) {
    case 0:
      return kNumbers[input.byte() % std::size(kNumbers)];
    case 1:
      return kTexts[input.byte() % std::size(kTexts)];
    case 2:
      return std::string(input.word() % 5000, 'x');
    case 3:
      return input.word();
    case 4:
      return Json::array();
    case 5:
      return nullptr;
    default:
      return *all[input.word() % all.size()];
  }
}

void change_manifest(Input& input, Json& manifest) {
  std::vector<Json*> all;
  collect(manifest, all);
  Json& at = *all[input.word() % all.size()];
  const uint8_t how = input.byte() % 4;
  const size_t which = at.empty() || !at.is_structured() ? 0 : input.byte() % at.size();
  if (how == 0 && at.is_array() && !at.empty()) {
    at.erase(which);
  } else if (how == 1 && at.is_array() && !at.empty()) {
    at.push_back(Json(at[which]));
  } else if (how == 2 && at.is_object() && !at.empty()) {
    at.erase(std::next(at.begin(), static_cast<std::ptrdiff_t>(which)));
  } else {
    at = next_value(input, all);
  }
}

void change_file(Input& input, Files& files) {
  std::string& bytes =
      std::next(files.begin(), static_cast<std::ptrdiff_t>(input.byte() % files.size()))->second;
  if (bytes.empty()) return;
  const uint64_t at = (uint64_t{input.word()} << 8 | input.byte()) % bytes.size();
  if ((input.byte() & 1) != 0) {
    bytes[at] = static_cast<char>(input.byte());
  } else {
    bytes.resize(at);
  }
}

std::string sealed(Json manifest) {
  manifest.erase("manifest_hash");
  manifest["manifest_hash"] = std::string(kSealDigits, '0');
  std::string text = manifest.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.replace(text.size() - 2, 2, kSealTail);
  return text.replace(seal_at(text), kSealDigits, seal_of(text));
}

void run_command(uint8_t command, const fs::path& bundle, const std::string& name) {
  switch (command % 9) {
    case 0: {
      InspectOptions options;
      options.threads = 1;
      inspect({bundle.string()}, options);
      return;
    }
    case 1:
    case 2: {
      RestoreOptions options;
      options.threads = 1;
      options.dry_run = command % 9 == 1;
      restore(bundle, {}, bundle.parent_path() / "out", options);
      return;
    }
    case 3:
    case 4: {
      RemoveOptions options;
      options.threads = 1;
      options.compact = command % 9 == 3;
      remove_models(bundle, {name}, options);
      return;
    }
    case 5: {
      AppendOptions options;
      options.threads = 1;
      append(bundle, {{"new", kTestdata + "/external/embedded.onnx"}}, options);
      return;
    }
    case 6: {
      ArchiveOptions options;
      options.threads = 1;
      archive(bundle, {}, options);
      return;
    }
    case 7: {
      ThawOptions options;
      options.threads = 1;
      thaw(bundle, {name}, options);
      return;
    }
    default: {
      ImportOptions options;
      options.threads = 1;
      import_adapter(bundle, kTestdata + "/adapters/classify", options);
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Files> bundles = make_bundles();
  Input input(data, size);
  Files files = bundles[input.byte() % bundles.size()];
  const uint8_t command = input.byte();
  Json manifest = Json::parse(files["manifest.json"]);
  files.erase("manifest.json");
  for (int edits = 1 + input.byte() % 4; edits > 0; --edits)
    input.byte() % 4 == 0 ? change_file(input, files) : change_manifest(input, manifest);
  const fs::path folder = work_folder() / "changed", bundle = folder / "bundle";
  fs::remove_all(folder);
  if (!manifest.is_object() || manifest.empty()) manifest = Json::object();
  write_file(bundle / "manifest.json", sealed(manifest));
  for (const auto& [name, bytes] : files) write_file(bundle / name, bytes);
  accepts([&] { verify(bundle, {1}); });
  static const char* const kNames[] = {"a", "task", "float32"};
  accepts([&] { run_command(command, bundle, kNames[input.byte() % std::size(kNames)]); });
  return 0;
}
