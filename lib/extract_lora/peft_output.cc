#include "extract_lora/peft_output.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "format/json_reader.h"
#include "util/as_text.h"
#include "util/mapped_file.h"
#include "util/output_folder.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr size_t kLargestMap = size_t{64} << 20;

using PathMap = std::map<std::string, std::string>;

PathMap read_map(const fs::path& path) {
  if (path.empty()) return {};
  const MappedFile file = MappedFile::open(path);
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::kInvalid, in_quotes(path.string()) + ": " + why,
                R"(it is to be a JSON object: {"weight, path or front of paths": "path", ...})");
  };
  if (file.bytes().size() > kLargestMap) refuse("has over 64 MiB");
  PathMap map;
  try {
    JsonReader json(as_text(file.bytes()));
    json.object({}, [&](std::string_view key) { map[std::string(key)] = json.text(); });
    json.finish();
  } catch (const Error& error) {
    refuse(error.what());
  }
  return map;
}

// The paths of modules, as the exporter or a map has them.
class ModulePaths {
 public:
  explicit ModulePaths(const fs::path& map) : map_(read_map(map)) {}

  // Returns the module of the weight at `site`, without factors.
  LoraFactors module_of(const BranchSite& site) const {
    if (!site.several_modules.empty()) {
      throw Error(
          ErrorCode::kUnsupported,
          in_quotes(site.name) + ": several modules read it: an adapter of PEFT changes one",
          "leave out --emit peft");
    }
    LoraFactors module;
    module.embedding = site.is_table;
    module.path = path_of(site.path, site.name);
    return module;
  }

 private:
  std::string path_of(const std::string& path, const std::string& weight) const {
    for (const std::string& key : {weight, path}) {
      if (const auto named = map_.find(key); named != map_.end()) return named->second;
    }
    if (path != weight) return with_other_front(path);
    throw Error(ErrorCode::kInvalid,
                in_quotes(weight) + ": the exporter has not left the path of its module",
                "say it: --peft-map FILE, a JSON object {\"" + weight + "\": \"path\", ...}");
  }

  // The longest front of `path` that the map has becomes what it says.
  std::string with_other_front(const std::string& path) const {
    for (std::string front = path; front.find('.') != std::string::npos;) {
      front.resize(front.rfind('.'));
      const auto named = map_.find(front);
      if (named == map_.end()) continue;
      const std::string rest = path.substr(front.size() + 1);
      return named->second.empty() ? rest : named->second + "." + rest;
    }
    return path;
  }

  PathMap map_;
};

std::string reason_against(const ExtractTask& task) {
  if (!task.changes.reasons.empty()) return "it is no adapter: " + task.changes.reasons.front();
  if (!task.changes.vectors.empty()) {
    return "it changes " + std::to_string(task.changes.vectors.size()) +
           " biases or norms, which a LoRA of PEFT does not hold";
  }
  const auto heads = std::count_if(task.changes.merged.begin(), task.changes.merged.end(),
                                   [](const auto& entry) { return entry.second.is_head; });
  if (heads > 0) {
    return "it has " + std::to_string(heads) +
           " weights of its own that were trained whole, which a LoRA of PEFT does not hold";
  }
  return task.changes.factors().empty() ? "it changes no weight" : "";
}

bool holds_only(const fs::path& folder, const std::set<std::string>& names) {
  return std::all_of(fs::directory_iterator(folder), fs::directory_iterator(),
                     [&](const fs::directory_entry& entry) {
                       return entry.is_regular_file() && !entry.is_symlink() &&
                              names.count(entry.path().filename().string()) != 0;
                     });
}

}  // namespace

std::vector<PeftTask> make_peft_tasks(const BranchSites& sites,
                                      const std::vector<ExtractTask>& tasks, const fs::path& map) {
  const ModulePaths paths(map);
  std::vector<PeftTask> result;
  for (const ExtractTask& task : tasks) {
    PeftTask& out = result.emplace_back();
    out.name = task.input.name;
    out.reason = reason_against(task);
    if (!out.reason.empty()) continue;
    std::map<std::string, std::string> weight_of;
    for (const auto& [weight, factors] : task.changes.factors()) {
      const BranchSite& site = *sites.find(weight);
      LoraFactors module = paths.module_of(site);
      const auto [at, is_new] = weight_of.emplace(module.path, site.name);
      if (!is_new) {
        throw Error(ErrorCode::kInvalid,
                    in_quotes(at->second) + " and " + in_quotes(site.name) +
                        ": both belong to module " + in_quotes(module.path),
                    "--peft-map FILE can name others");
      }
      module.a = {"", site.dtype, with_rank(site.a_shape, factors->rank), factors->a};
      module.b = {"", site.dtype, with_rank(site.b_shape, factors->rank), factors->b};
      out.modules.push_back(std::move(module));
    }
  }
  return result;
}

void check_peft_target(const fs::path& folder, const fs::path& bundle, bool replace) {
  const std::string name = in_quotes(folder.string());
  if (is_inside(folder, bundle) || is_inside(bundle, folder)) {
    throw Error(ErrorCode::kIo, name + ": is, holds or lies in the bundle",
                "--peft-dir wants a folder of its own");
  }
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(folder))) return;
  if (!fs::is_directory(folder, ignored))
    throw Error(ErrorCode::kIo, name + ": exists and is no folder");
  if (fs::is_empty(folder, ignored)) return;
  if (!replace) {
    throw Error(ErrorCode::kIo, name + ": exists already", "--force replaces adapters in it");
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && !entry.is_symlink() &&
        holds_only(entry.path(), {"adapter_config.json", "adapter_model.safetensors"})) {
      continue;
    }
    throw Error(ErrorCode::kIo,
                in_quotes(entry.path().string()) + ": is no adapter that would be replaced",
                "move it away first");
  }
}

void write_peft_tasks(const std::vector<PeftTask>& tasks, const std::string& base,
                      const fs::path& folder) {
  for (const PeftTask& task : tasks) {
    if (task.modules.empty()) continue;
    const fs::path made = folder / task.name;
    make_folder(made);
    write_peft_adapter(made, task.modules, base);
  }
}

void add_to_report(const std::vector<PeftTask>& tasks, ExtractReport& report) {
  for (size_t t = 0; t < tasks.size(); ++t) {
    report.tasks[t].peft = tasks[t].modules.empty() ? "" : tasks[t].name;
    report.tasks[t].no_peft = tasks[t].reason;
  }
}

}  // namespace wshare
