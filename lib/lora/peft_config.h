#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wshare {

// What to do with an adapter that is more than LoRA.
inline constexpr char kMergeHint[] =
    "merge it (merge_and_unload), export the task and give that to extract-lora or append";

// The first pattern that matches a module's path says its value.
template <typename Value>
using PeftPatterns = std::vector<std::pair<std::string, Value>>;

// What adapter_config.json says of the factors beside it.
struct PeftConfig {
  int64_t rank = 0;
  double alpha = 0;
  PeftPatterns<int64_t> rank_pattern;
  PeftPatterns<double> alpha_pattern;
  bool use_rslora = false;
  bool fan_in_fan_out = false;
  std::string base_model;  // base_model_name_or_path, "" when absent
};

// Returns the configuration in `json`.
//
// Throws Error(kUnsupported) if the adapter is more than plain LoRA (another method, DoRA, weights
// of the base that the initialisation changed, ...; the message says what), Error(kInvalid) if the
// text is no such configuration.
// Source: PEFT 0.21, LoraConfig.
PeftConfig parse_peft_config(std::string_view json);

// Returns the configuration whose keys stand in `json` with `prefix` before them, as diffusers
// writes those of all models of a pipeline into one object; or nothing if there is none. Throws
// what parse_peft_config() throws. Source: diffusers 0.42, LoraBaseMixin._save_lora_weights.
std::optional<PeftConfig> find_peft_config(std::string_view json, std::string_view prefix);

// What applies to one module.
struct PeftScale {
  int64_t rank = 0;
  double scaling = 1;  // of B · A: alpha / rank, with rsLoRA alpha / sqrt(rank)
};

// Returns the scale of the module at each of `paths`, under which the base model knows it.
//
// A pattern is a regular expression for the end of the path, from the start of a name in it on.
// Throws Error(kUnsupported) if one is no regular expression that is understood here (ECMAScript's
// without back references), or is long enough to be an attack.
// Source: PEFT 0.21, get_pattern_key.
std::vector<PeftScale> scales_of(const PeftConfig& config, const std::vector<std::string>& paths);

// Returns the text of adapter_config.json for modules whose scale is 1, given as (path, rank);
// sorted by path, each once.
//
// Throws Error(kUnsupported) if ranks differ and a path has characters that patterns treat as
// special.
std::string peft_config_json(const std::vector<std::pair<std::string, int64_t>>& modules,
                             const std::string& base_model);

}  // namespace wshare
