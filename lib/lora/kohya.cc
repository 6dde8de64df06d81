#include "lora/kohya.h"

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "format/foreign_file.h"
#include "format/matrix.h"
#include "lora/kohya_keys.h"
#include "lora/peft_config.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr char kConfigKey[] = "lora_adapter_metadata";
constexpr std::string_view kPeft = "base_model.model.";

// The tensors of a module by their role.
using Roles = std::map<std::string_view, NamedTensor>;

struct Found {
  bool flat = false;
  Roles roles;
};

std::string label_of(const std::string& part, const std::string& path) {
  return "module " + in_quotes(part.empty() ? path : part + ": " + path);
}

// Takes the tensors of one module apart.
class ModuleReader {
 public:
  ModuleReader(std::string label, Roles roles)
      : label_(std::move(label)), roles_(std::move(roles)) {}

  // Returns what the weight changes by, and remembers the rank that alpha is divided by.
  LowRankProduct read_delta() {
    LowRankProduct delta;
    if (has("hada_w1_a")) {
      delta.how = LowRankProduct::How::kHadamard;
      delta.first = product("hada_w1_a", "hada_w1_b", "hada_t1");
      delta.second = product("hada_w2_a", "hada_w2_b", "hada_t2");
    } else if (has("lokr_w1") || has("lokr_w1_a")) {
      delta.how = LowRankProduct::How::kKronecker;
      delta.second = whole_or("lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2");
      delta.first = whole_or("lokr_w1", "lokr_w1_a", "lokr_w1_b", "");
    } else {
      delta.first = product("up", "down", "mid");
      delta.first.up_turned = false;  // the weight of a layer, [out, rank], also beside lora_mid
    }
    return delta;
  }

  std::optional<double> read_alpha() {
    if (!has("alpha")) return std::nullopt;
    const NamedTensor tensor = take("alpha");
    double alpha = 0;
    const bool is_number = holds_floats(tensor) && needed_bytes(tensor) == tensor.bytes.size() &&
                           tensor.bytes.size() == float_format(tensor.dtype)->size;
    if (is_number) read_values(tensor.bytes, tensor.dtype, &alpha);
    if (is_number && std::isfinite(alpha) && alpha != 0) return alpha;
    throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": is no number to scale by");
  }

  // Throws unless every tensor was read.
  void finish() const {
    if (roles_.empty()) return;
    throw Error(ErrorCode::kInvalid,
                in_quotes(roles_.begin()->second.name) + ": does not belong to the other factors");
  }

  // 0: all factors are whole, and alpha scales nothing.
  int64_t rank() const { return rank_; }

 private:
  bool has(std::string_view role) const { return roles_.count(role) != 0; }

  NamedTensor take(std::string_view role) {
    const auto found = roles_.find(role);
    if (found == roles_.end()) {
      throw Error(ErrorCode::kInvalid, label_ + ": lacks factor " + in_quotes(role));
    }
    NamedTensor tensor = std::move(found->second);
    roles_.erase(found);
    return tensor;
  }

  StoredMatrix product(std::string_view up, std::string_view down, std::string_view core) {
    StoredMatrix matrix;
    matrix.up = take(up);
    matrix.down = take(down);
    if (has(core)) {
      matrix.core = take(core);
      matrix.up_turned = true;
    }
    if (!matrix.down.shape.empty()) rank_ = matrix.down.shape[0];
    return matrix;
  }

  StoredMatrix whole_or(std::string_view whole, std::string_view up, std::string_view down,
                        std::string_view core) {
    StoredMatrix matrix;
    if (!has(whole)) return product(up, down, core);
    matrix.up = take(whole);
    return matrix;
  }

  std::string label_;
  Roles roles_;
  int64_t rank_ = 0;
};

using FoundModules = std::map<std::pair<std::string, std::string>, Found>;  // by part and path

FoundModules sort_tensors(const std::vector<NamedTensor>& tensors) {
  FoundModules modules;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name.starts_with(kPeft)) {
      throw Error(ErrorCode::kInvalid,
                  "has factors of PEFT, and no adapter_config.json lies beside it",
                  "put the one there that was saved with it: it has their alpha");
    }
    const std::optional<KohyaKey> key = parse_kohya_key(tensor.name);
    if (!key) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(tensor.name) + ": is " + std::string(text_of_foreign_key(tensor.name)) +
                      ": only LoRA, LoCon, LoHa and LoKr are read",
                  kMergeHint);
    }
    Found& found = modules[{key->part, key->path}];
    found.flat = key->flat;
    if (found.roles.emplace(key->role, tensor).second) continue;
    throw Error(ErrorCode::kInvalid,
                label_of(key->part, key->path) + ": has a second factor " + in_quotes(tensor.name));
  }
  if (modules.empty()) throw Error(ErrorCode::kInvalid, "has no tensor");
  return modules;
}

// Throws unless alpha may be taken for the rank.
void check_alpha_less(const KohyaModule& module) {
  const bool like_peft = module.part.empty() && !module.flat &&
                         module.delta.first.down.name.find(".lora_A.") != std::string::npos;
  if (!like_peft) return;
  throw Error(ErrorCode::kInvalid, label_of(module.part, module.path) + ": nothing says its alpha",
              "is it PEFT's? its adapter_config.json belongs beside it");
}

// Scales `modules`, of one part, that have no alpha of their own.
void scale_as_configured(const std::string* metadata, const std::vector<KohyaModule*>& modules) {
  const std::string& part = modules.front()->part;
  const std::optional<PeftConfig> config =
      metadata == nullptr ? std::nullopt
                          : find_peft_config(*metadata, part.empty() ? "" : part + ".");
  if (!config) {
    for (const KohyaModule* module : modules) check_alpha_less(*module);
    return;
  }
  std::vector<std::string> paths;
  for (const KohyaModule* module : modules) paths.push_back(module->path);
  const std::vector<PeftScale> scales = scales_of(*config, paths);
  for (size_t i = 0; i < modules.size(); ++i) {
    modules[i]->scaling = scales[i].scaling;
    const auto rank = static_cast<int64_t>(size_of(modules[i]->delta).rank);
    if (modules[i]->delta.how != LowRankProduct::How::kFirst || rank == scales[i].rank) continue;
    throw Error(ErrorCode::kInvalid, label_of(part, paths[i]) + ": factors of rank " +
                                         std::to_string(rank) + ", " + kConfigKey + " says " +
                                         std::to_string(scales[i].rank));
  }
}

}  // namespace

std::vector<KohyaModule> read_kohya_modules(const SafetensorsFile& file) {
  std::vector<KohyaModule> modules;
  std::vector<size_t> open;  // that have no alpha of their own
  for (auto& [name, found] : sort_tensors(file.tensors)) {
    const std::string label = label_of(name.first, name.second);
    ModuleReader reader(label, std::move(found.roles));
    KohyaModule& module = modules.emplace_back();
    module.part = name.first;
    module.path = name.second;
    module.flat = found.flat;
    const std::optional<double> alpha = reader.read_alpha();
    module.delta = reader.read_delta();
    reader.finish();
    size_of(module.delta);  // that its factors fit together
    if (reader.rank() == 0) continue;
    if (alpha) module.scaling = *alpha / static_cast<double>(reader.rank());
    if (!alpha) open.push_back(modules.size() - 1);
  }
  std::map<std::string, std::vector<KohyaModule*>> open_of;  // by part
  for (const size_t i : open) open_of[modules[i].part].push_back(&modules[i]);
  const auto metadata = file.metadata.find(kConfigKey);
  for (const auto& [part, of_part] : open_of)
    scale_as_configured(metadata == file.metadata.end() ? nullptr : &metadata->second, of_part);
  return modules;
}

KohyaAdapter load_kohya_adapter(const std::filesystem::path& path) {
  KohyaAdapter adapter{MappedFile::open(path), {}};
  refuse_foreign(path, adapter.file.bytes(), ExpectedFile::kSafetensors);
  try {
    adapter.modules = read_kohya_modules(read_safetensors(adapter.file.bytes()));
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what(), error.hint());
  }
  return adapter;
}

}  // namespace wshare
