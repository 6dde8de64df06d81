#include "lora/peft_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <tuple>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;  // the first pattern that fits counts

constexpr size_t kLongestPattern = 256, kLongestPath = 1024, kMostPatterns = 1000;

// An option that is null, false, zero or empty is not used.
bool is_used(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return false;
  if (found->is_boolean()) return found->get<bool>();
  return found->is_number() ? *found != 0 : !found->empty() && *found != "";
}

void refuse(const std::string& what) {
  throw Error(ErrorCode::kUnsupported, what + ": only plain LoRA is read", kMergeHint);
}

// Refuses all that makes a module compute something else than W + scaling · B · A.
void check_plain(const Json& json) {
  const std::string type = json.at("peft_type").get<std::string>();
  if (type != "LORA") refuse("peft_type is " + in_quotes(type));
  for (const char* key : {"use_dora", "use_qalora", "use_bdlora", "alora_invocation_tokens",
                          "arrow_config", "kasa_config", "monteclora_config", "layer_replication",
                          "target_parameters", "trainable_token_indices"}) {
    if (is_used(json, key)) refuse(in_quotes(key) + " is set");
  }
  const auto found = json.find("init_lora_weights");
  if (found == json.end() || !found->is_string()) return;
  const std::string start = found->get<std::string>();
  for (const char* changes_base : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
    if (!start.starts_with(changes_base)) continue;
    throw Error(
        ErrorCode::kUnsupported,
        "init_lora_weights is " + in_quotes(start) +
            ": the factors belong to base weights that it has changed",
        "PEFT converts it: save_pretrained(..., path_initial_model_for_weight_conversion=)");
  }
}

int64_t read_rank(const Json& json) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() == 0 || json.get<uint64_t>() > INT32_MAX) {
    throw Error(ErrorCode::kInvalid, json.dump() + ": is no rank");
  }
  return json.get<int64_t>();
}

double read_alpha(const Json& json) {
  if (!json.is_number()) throw Error(ErrorCode::kInvalid, json.dump() + ": is no number");
  return json.get<double>();
}

bool read_flag(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && !found->is_null() && found->get<bool>();
}

template <typename Value>
PeftPatterns<Value> read_patterns(const Json& json, const char* key, Value read(const Json&)) {
  PeftPatterns<Value> patterns;
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return patterns;
  if (!found->is_object()) throw Error(ErrorCode::kInvalid, in_quotes(key) + ": is no object");
  for (const auto& [pattern, value] : found->items()) patterns.emplace_back(pattern, read(value));
  return patterns;
}

bool is_literal(std::string_view pattern) {
  return std::all_of(pattern.begin(), pattern.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// A pattern of names and dots; a dot fits any character, as it does in a regular expression.
bool fits_literal(std::string_view pattern, std::string_view path) {
  if (pattern.size() > path.size()) return false;
  const size_t start = path.size() - pattern.size();
  if (start > 0 && path[start - 1] != '.') return false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '.' && pattern[i] != path[start + i]) return false;
  }
  return true;
}

std::regex compile(const std::string& pattern) {
  if (pattern.size() > kLongestPattern) {
    throw Error(ErrorCode::kUnsupported, in_quotes(pattern) + ": a pattern of " +
                                             std::to_string(pattern.size()) +
                                             " bytes, at most 256 are read");
  }
  std::regex::flag_type flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
  // libstdc++ otherwise recurses once per character and takes exponential time for (a+)+.
  flags |= std::regex_constants::__polynomial;
#endif
  try {
    return std::regex("(.*\\.)?(" + pattern + ")", flags);
  } catch (const std::regex_error& error) {
    throw Error(ErrorCode::kUnsupported,
                in_quotes(pattern) + ": is no regular expression known here: " + error.what());
  }
}

// Calls `use` with the number of each path and the value of the first pattern that fits it.
template <typename Value, typename Use>
void match(const PeftPatterns<Value>& patterns, const std::vector<std::string>& paths,
           const Use& use) {
  std::vector<bool> done(paths.size());
  size_t compiled = 0;
  for (const auto& [pattern, value] : patterns) {
    const bool literal = is_literal(pattern);
    if (!literal && ++compiled > kMostPatterns) {
      throw Error(ErrorCode::kUnsupported, "has more than 1000 regular expressions as patterns");
    }
    const std::regex regex = literal ? std::regex() : compile(pattern);
    for (size_t i = 0; i < paths.size(); ++i) {
      if (done[i]) continue;
      done[i] = literal ? fits_literal(pattern, paths[i]) : std::regex_match(paths[i], regex);
      if (done[i]) use(i, value);
    }
  }
}

// Returns the rank of each module as a pattern of its own, or none where all have the largest.
//
// A path as a pattern fits longer paths that end like it, and equally long ones that have other
// characters in place of its dots: so the narrower patterns come first.
Json rank_patterns(std::vector<std::pair<std::string, int64_t>> modules, int64_t largest) {
  Json patterns = Json::object();
  if (std::all_of(modules.begin(), modules.end(),
                  [&](const auto& each) { return each.second == largest; })) {
    return patterns;
  }
  std::sort(modules.begin(), modules.end(), [](const auto& x, const auto& y) {
    const auto key = [](const std::string& path) {
      return std::tuple(-static_cast<int64_t>(path.size()),
                        std::count(path.begin(), path.end(), '.'), std::string_view(path));
    };
    return key(x.first) < key(y.first);
  });
  for (const auto& [path, rank] : modules) {
    if (!is_literal(path)) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(path) + ": cannot be written as a pattern of ranks");
    }
    patterns[path] = rank;
  }
  return patterns;
}

}  // namespace

PeftConfig parse_peft_config(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    check_plain(json);
    PeftConfig config;
    config.rank = read_rank(json.at("r"));
    config.alpha = read_alpha(json.at("lora_alpha"));
    config.rank_pattern = read_patterns<int64_t>(json, "rank_pattern", read_rank);
    config.alpha_pattern = read_patterns<double>(json, "alpha_pattern", read_alpha);
    config.use_rslora = read_flag(json, "use_rslora");
    config.fan_in_fan_out = read_flag(json, "fan_in_fan_out");
    const auto base = json.find("base_model_name_or_path");
    if (base != json.end() && base->is_string()) config.base_model = base->get<std::string>();
    return config;
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::kInvalid, "no valid adapter_config.json: " + std::string(error.what()));
  }
}

std::vector<PeftScale> scales_of(const PeftConfig& config, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (path.size() <= kLongestPath) continue;
    throw Error(ErrorCode::kUnsupported, in_quotes(path) + ": a path of " +
                                             std::to_string(path.size()) +
                                             " bytes, at most 1024 are read");
  }
  std::vector<PeftScale> scales(paths.size(), {config.rank, config.alpha});
  match(config.rank_pattern, paths, [&](size_t i, int64_t rank) { scales[i].rank = rank; });
  match(config.alpha_pattern, paths, [&](size_t i, double alpha) { scales[i].scaling = alpha; });
  for (PeftScale& scale : scales) {
    const auto rank = static_cast<double>(scale.rank);
    scale.scaling /= config.use_rslora ? std::sqrt(rank) : rank;
  }
  return scales;
}

std::string peft_config_json(const std::vector<std::pair<std::string, int64_t>>& modules,
                             const std::string& base_model) {
  int64_t largest = 1;
  Json targets = Json::array();
  for (const auto& [path, rank] : modules) {
    largest = std::max(largest, rank);
    targets.push_back(path);
  }
  const Json patterns = rank_patterns(modules, largest);
  const Json json = {{"alpha_pattern", patterns},
                     {"base_model_name_or_path", base_model},
                     {"bias", "none"},
                     {"fan_in_fan_out", false},
                     {"inference_mode", true},
                     {"init_lora_weights", true},
                     {"lora_alpha", largest},
                     {"lora_dropout", 0.0},
                     {"modules_to_save", nullptr},
                     {"peft_type", "LORA"},
                     {"r", largest},
                     {"rank_pattern", patterns},
                     {"target_modules", targets},
                     {"task_type", nullptr},
                     {"use_dora", false},
                     {"use_rslora", false}};
  try {
    return json.dump(2) + "\n";
  } catch (const Json::exception& error) {  // the only one possible: a text that is no UTF-8
    throw Error(ErrorCode::kInvalid, "a name cannot stand in JSON: " + std::string(error.what()));
  }
}

}  // namespace wshare
