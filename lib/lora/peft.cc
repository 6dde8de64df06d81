#include "lora/peft.h"

#include <map>
#include <optional>

#include "format/foreign_file.h"
#include "util/as_text.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kBaseWeight = ".base_layer.weight";
constexpr size_t kLargestConfig = size_t{1} << 20;

// A key such as base_model.model.encoder.q.lora_A.weight, taken apart. In a checkpoint that PEFT
// did not save itself the name of the adapter may stand behind lora_A.
struct FactorKey {
  std::string path;
  std::string adapter;
  bool is_a = false;
  bool embedding = false;
};

std::string without_prefix(std::string_view key) {
  if (key.starts_with(kPrefix)) key.remove_prefix(kPrefix.size());
  return std::string(key);
}

// Removes the last name from `path` and returns it.
std::string_view take_last(std::string_view& path) {
  const size_t dot = path.rfind('.');
  const std::string_view last = dot == path.npos ? path : path.substr(dot + 1);
  path = dot == path.npos ? std::string_view() : path.substr(0, dot);
  return last;
}

std::optional<FactorKey> parse_key(const std::string& key) {
  const std::string text = without_prefix(key);
  std::string_view rest = text;
  std::string_view last = take_last(rest);
  const bool weight = last == "weight";  // those of embeddings are no weights of a module
  if (weight) last = take_last(rest);
  for (const bool with_adapter : {false, true}) {
    FactorKey result;
    if (with_adapter) {
      result.adapter = last;
      last = take_last(rest);
    }
    result.embedding = !weight;
    const std::string_view stem = weight ? "lora_" : "lora_embedding_";
    if (!last.starts_with(stem)) continue;
    const std::string_view factor = last.substr(stem.size());
    if ((factor != "A" && factor != "B") || rest.empty()) continue;
    result.is_a = factor == "A";
    result.path = rest;
    return result;
  }
  return std::nullopt;
}

// The name in the base model of a weight or bias that PEFT saved whole, or nothing.
std::optional<std::string> whole_name(const std::string& key) {
  const std::string text = without_prefix(key);
  std::string_view path = text;
  const std::string last(take_last(path));
  if ((last != "weight" && last != "bias") || text.find("lora_") != text.npos) return std::nullopt;
  for (const std::string_view saved : {".modules_to_save", ".base_layer"}) {
    // In older checkpoints the name of the adapter stands behind it.
    const size_t at = path.rfind(saved);
    if (at == path.npos) continue;
    const std::string_view rest = path.substr(at + saved.size());
    if (rest.empty() || (rest[0] == '.' && rest.find('.', 1) == rest.npos))
      path = path.substr(0, at);
  }
  if (path.empty()) return std::nullopt;
  return std::string(path) + "." + last;
}

constexpr char kSaveHint[] = "save the adapter again with PEFT's save_pretrained";

// Refuses tensors that are no factors.
void refuse_others(const std::vector<std::string>& names) {
  if (names.empty()) return;
  const std::string& name = names.front();
  const char* what = name.find("lora_magnitude_vector") != name.npos ? "a magnitude of DoRA"
                     : name.ends_with(".bias")                       ? "a bias of a factor"
                                                                     : "no factor and no weight";
  throw Error(
      ErrorCode::kUnsupported,
      in_quotes(name) + ": is " + what + ": only plain LoRA is read" +
          (names.size() == 1 ? ""
                             : " (" + std::to_string(names.size()) + " tensors are no factors)"),
      kMergeHint);
}

void check_factors(const PeftModule& module) {
  const NamedTensor &a = module.a, &b = module.b;
  const std::string name = in_quotes(module.path);
  for (const NamedTensor* factor : {&a, &b}) {
    if (factor->name.empty()) {
      throw Error(ErrorCode::kInvalid, name + ": lacks factor " + (factor == &a ? "A" : "B"),
                  kSaveHint);
    }
    bool fits = factor->shape.size() >= 2 && !(module.embedding && factor->shape.size() > 2);
    for (const int64_t dim : factor->shape) fits = fits && dim > 0;
    if (!fits) throw Error(ErrorCode::kInvalid, in_quotes(factor->name) + ": is no matrix");
  }
  if (a.dtype != b.dtype || !holds_floats(a)) {
    throw Error(ErrorCode::kInvalid, name + ": A and B have element types " +
                                         std::to_string(a.dtype) + " and " +
                                         std::to_string(b.dtype) + ", not one float type");
  }
  bool flat = true;
  for (size_t i = 2; i < b.shape.size(); ++i) flat = flat && b.shape[i] == 1;
  if (a.shape.size() != b.shape.size() || !flat || a.shape[0] != b.shape[1]) {
    throw Error(ErrorCode::kInvalid, name + ": A gives " + std::to_string(a.shape[0]) +
                                         " values in " + std::to_string(a.shape.size()) +
                                         " dimensions, B takes " + std::to_string(b.shape[1]) +
                                         " in " + std::to_string(b.shape.size()));
  }
}

void put(PeftModule& module, const FactorKey& key, const NamedTensor& tensor) {
  NamedTensor& factor = key.is_a ? module.a : module.b;
  if (!factor.name.empty() || (!module.path.empty() && module.embedding != key.embedding)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(key.path) + ": has a second factor " + in_quotes(tensor.name));
  }
  module.path = key.path;
  module.embedding = key.embedding;
  factor = tensor;
}

// Sets rank and scaling as configured; the rank must be that of the factors.
void put_scales(const PeftConfig& config, std::vector<PeftModule>& modules) {
  std::vector<std::string> paths;
  for (const PeftModule& module : modules) paths.push_back(module.path);
  const std::vector<PeftScale> scales = scales_of(config, paths);
  for (size_t i = 0; i < modules.size(); ++i) {
    modules[i].rank = modules[i].a.shape[0];
    modules[i].scaling = scales[i].scaling;
    if (modules[i].rank == scales[i].rank) continue;
    throw Error(ErrorCode::kInvalid,
                in_quotes(paths[i]) + ": factors of rank " + std::to_string(modules[i].rank) +
                    ", adapter_config.json says " + std::to_string(scales[i].rank),
                "take the adapter_config.json that was saved with these factors");
  }
}

// Calls `read`; errors get the name of `path` in front.
template <typename Read>
auto naming(const fs::path& path, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what(), error.hint());
  }
}

}  // namespace

PeftModules read_peft_modules(const PeftConfig& config, std::span<const NamedTensor> tensors) {
  PeftModules result;
  std::map<std::string, PeftModule> modules;
  std::vector<std::string> others;
  std::optional<std::string> adapter;
  for (const NamedTensor& tensor : tensors) {
    const std::optional<FactorKey> key = parse_key(tensor.name);
    if (key) {
      if (adapter.value_or(key->adapter) != key->adapter) {
        throw Error(
            ErrorCode::kUnsupported,
            "holds several adapters, " + in_quotes(*adapter) + " and " + in_quotes(key->adapter),
            "save one alone: save_pretrained(..., selected_adapters=[...])");
      }
      adapter = key->adapter;
      put(modules[key->path], *key, tensor);
    } else if (tensor.name.ends_with(kBaseWeight)) {
      NamedTensor& weight = result.base_weights.emplace_back(tensor);
      weight.name = without_prefix(tensor.name.substr(0, tensor.name.size() - kBaseWeight.size()));
    } else if (std::optional<std::string> name = whole_name(tensor.name)) {
      NamedTensor& whole = result.whole.emplace_back(tensor);
      whole.name = *std::move(name);
    } else {
      others.push_back(tensor.name);
    }
  }
  refuse_others(others);
  if (modules.empty())
    throw Error(ErrorCode::kInvalid, "has no tensor called lora_A or lora_B", kSaveHint);
  for (auto& [path, module] : modules) {
    check_factors(module);
    result.modules.push_back(std::move(module));
  }
  put_scales(config, result.modules);
  return result;
}

PeftAdapter load_peft_adapter(const fs::path& path) {
  std::error_code ignored;  // opening says what is wrong
  const bool folder = fs::is_directory(path, ignored);
  const fs::path tensors = folder ? path / "adapter_model.safetensors" : path;
  const fs::path configuration = (folder ? path : path.parent_path()) / "adapter_config.json";
  if (folder && !fs::exists(tensors, ignored) && fs::exists(path / "adapter_model.bin", ignored)) {
    throw Error(ErrorCode::kUnsupported,
                in_quotes((path / "adapter_model.bin").string()) +
                    ": is a pickle, which can run any code: not read",
                "PEFT saves it anew as safetensors: save_pretrained(...)");
  }
  PeftAdapter adapter{MappedFile::open(tensors), {}, {}};
  refuse_foreign(tensors, adapter.file.bytes(), ExpectedFile::kSafetensors);
  const MappedFile file = MappedFile::open(configuration);
  refuse_foreign(configuration, file.bytes(), ExpectedFile::kConfiguration);
  adapter.config = naming(configuration, [&] {
    if (file.bytes().size() > kLargestConfig) {
      throw Error(ErrorCode::kInvalid, "has " + std::to_string(file.bytes().size()) +
                                           " bytes, at most 1048576 are read");
    }
    return parse_peft_config(as_text(file.bytes()));
  });
  adapter.content = naming(tensors, [&] {
    return read_peft_modules(adapter.config, read_safetensors(adapter.file.bytes()).tensors);
  });
  return adapter;
}

}  // namespace wshare
