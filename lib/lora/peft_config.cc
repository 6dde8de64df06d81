#include "lora/peft_config.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <regex>
#include <tuple>

#include "format/json_reader.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr size_t kLongestPattern = 256, kLongestPath = 1024, kMostPatterns = 1000;
// Bytes of patterns times bytes of paths that are compared: some seconds of std::regex.
constexpr size_t kMostWork = 300'000'000;
constexpr size_t kMostLiterals = 1'000'000'000;  // literal patterns times paths

void refuse(const std::string& what) {
  throw Error(ErrorCode::kUnsupported, what + ": only plain LoRA is read", kMergeHint);
}

// An option that is null, false, zero or empty is not used.
bool is_used(JsonReader& json) {
  bool used = false;
  switch (json.peek()) {
    case 't':
    case 'f':
      return json.flag();
    case '"':
      return !json.text().empty();
    case '[':
      json.list([&] { json.skip(), used = true; });
      return used;
    case '{':
      json.object({}, [&](std::string_view) { used = true; });
      return used;
    default:
      return !json.take_null() && json.real() != 0;
  }
}

// Refuses all that makes a module compute something else than W + scaling · B · A.
void check_plain(std::string_view key, JsonReader& json) {
  if (key == "peft_type") {
    const std::string_view type = json.text();
    if (type != "LORA") refuse("peft_type is " + in_quotes(type));
  }
  for (const char* option : {"use_dora", "use_qalora", "use_bdlora", "alora_invocation_tokens",
                             "arrow_config", "kasa_config", "monteclora_config",
                             "layer_replication", "target_parameters", "trainable_token_indices"}) {
    if (key == option && is_used(json)) refuse(in_quotes(key) + " is set");
  }
  if (key != "init_lora_weights" || json.peek() != '"') return;
  const std::string_view start = json.text();
  for (const char* changes_base : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
    if (!start.starts_with(changes_base)) continue;
    throw Error(
        ErrorCode::kUnsupported,
        "init_lora_weights is " + in_quotes(start) +
            ": the factors belong to base weights that it has changed",
        "PEFT converts it: save_pretrained(..., path_initial_model_for_weight_conversion=)");
  }
}

int64_t read_rank(JsonReader& json) {
  const uint64_t rank = json.number(INT32_MAX);
  if (rank == 0) throw Error(ErrorCode::kInvalid, "0 is no rank");
  return static_cast<int64_t>(rank);
}

template <typename Value, typename Read>
void read_patterns(JsonReader& json, PeftPatterns<Value>& patterns, const Read& read) {
  if (json.take_null()) return;
  json.object({}, [&](std::string_view pattern) { patterns.emplace_back(pattern, read()); });
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

// Returns a text that stands in every path which fits the regular expression `pattern`: the longest
// one that is no part of a group or a set and is not repeated; "" where there is an alternative.
std::string needed_text(std::string_view pattern) {
  std::string longest, run;
  int depth = 0;
  bool in_set = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    const bool escaped = c == '\\' && i + 1 < pattern.size();
    if (escaped) c = pattern[++i];
    if (!escaped && in_set) {
      in_set = c != ']';
      continue;
    }
    if (!escaped && c == '|' && depth == 0) return "";
    // "\x41" is a character that does not stand there.
    if (escaped && std::isalnum(static_cast<unsigned char>(c)) != 0 &&
        std::string_view("dDwWsSbB").find(c) == std::string_view::npos) {
      return "";
    }
    const bool plain = escaped
                           ? std::ispunct(static_cast<unsigned char>(c)) != 0
                           : std::string_view(".*+?{}()[]^$|").find(c) == std::string_view::npos;
    if (plain && depth == 0 && !in_set) {
      run += c;
      if (run.size() > longest.size()) longest = run;
      continue;
    }
    if (!escaped && !run.empty() && std::string_view("*?{").find(c) != std::string_view::npos) {
      if (longest == run) longest.pop_back();  // may be missing
    }
    run.clear();
    if (escaped) continue;
    in_set = c == '[';
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    // What stands in braces is a number.
    if (c == '{') i = std::min(pattern.find('}', i), pattern.size());
  }
  return longest;
}

// Refuses regular expressions that would take forever.
template <typename Value>
void check_work(const PeftPatterns<Value>& patterns, const std::vector<std::string>& paths) {
  size_t expressions = 0, literals = 0, work = 0;
  for (const auto& [pattern, value] : patterns) {
    if (is_literal(pattern)) {
      if ((literals += paths.size()) <= kMostLiterals) continue;
      throw Error(ErrorCode::kUnsupported, "has " + std::to_string(patterns.size()) +
                                               " patterns, too many for " +
                                               std::to_string(paths.size()) + " modules");
    }
    if (++expressions > kMostPatterns) {
      throw Error(ErrorCode::kUnsupported, "has more than 1000 regular expressions as patterns");
    }
    const std::string needed = needed_text(pattern);
    for (const std::string& path : paths) {
      work += path.size();
      if (path.find(needed) != std::string::npos) work += pattern.size() * path.size();
    }
    if (work <= kMostWork) continue;
    throw Error(ErrorCode::kUnsupported, "has too many regular expressions as patterns for " +
                                             std::to_string(paths.size()) + " modules");
  }
}

// Calls `use` with the number of each path and the value of the first pattern that fits it.
template <typename Value, typename Use>
void match(const PeftPatterns<Value>& patterns, const std::vector<std::string>& paths,
           const Use& use) {
  check_work(patterns, paths);
  std::vector<size_t> open(paths.size());  // that none has fitted yet
  std::iota(open.begin(), open.end(), size_t{0});
  for (const auto& each : patterns) {
    const std::string& pattern = each.first;  // no binding: clang 14 captures none
    const bool literal = is_literal(pattern);
    const std::regex regex = literal ? std::regex() : compile(pattern);
    const std::string needed = literal ? "" : needed_text(pattern);
    std::erase_if(open, [&](size_t i) {
      const std::string& path = paths[i];
      if (literal ? !fits_literal(pattern, path) : path.find(needed) == std::string::npos)
        return false;
      if (!literal && !std::regex_match(path, regex)) return false;
      use(i, each.second);
      return true;
    });
  }
}

using Json = nlohmann::ordered_json;

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

// What has been read of a configuration.
struct ConfigReader {
  JsonReader json;
  PeftConfig config;
  std::optional<double> alpha;

  void read(std::string_view key) {
    check_plain(key, json);
    // Methods other than LoRA have other values here.
    if (key == "r" && json.peek() != 'n') config.rank = read_rank(json);
    if (key == "lora_alpha" && json.peek() != 'n') alpha = json.real();
    if (key == "rank_pattern")
      read_patterns(json, config.rank_pattern, [&] { return read_rank(json); });
    if (key == "alpha_pattern")
      read_patterns(json, config.alpha_pattern, [&] { return json.real(); });
    if (key == "use_rslora") config.use_rslora = !json.take_null() && json.flag();
    if (key == "fan_in_fan_out") config.fan_in_fan_out = !json.take_null() && json.flag();
    if (key == "base_model_name_or_path" && json.peek() == '"') config.base_model = json.text();
  }

  PeftConfig take() {
    json.finish();
    if (config.rank == 0 || !alpha) throw Error(ErrorCode::kInvalid, "has no rank or no alpha");
    config.alpha = *alpha;
    return std::move(config);
  }
};

// Calls `read`; what says that the text is malformed gets `what` in front.
template <typename Read>
auto naming(const char* what, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalid) throw;
    throw Error(ErrorCode::kInvalid, what + std::string(error.what()));
  }
}

}  // namespace

PeftConfig parse_peft_config(std::string_view text) {
  return naming("no valid adapter_config.json: ", [&] {
    ConfigReader reader{JsonReader(text), {}, {}};
    reader.json.object({"peft_type", "r", "lora_alpha"},
                       [&](std::string_view key) { reader.read(key); });
    return reader.take();
  });
}

std::optional<PeftConfig> find_peft_config(std::string_view text, std::string_view prefix) {
  return naming("no valid lora_adapter_metadata: ", [&]() -> std::optional<PeftConfig> {
    ConfigReader reader{JsonReader(text), {}, {}};
    bool is_there = false;
    reader.json.object({}, [&](std::string_view key) {
      if (!key.starts_with(prefix)) return;
      is_there = is_there || key.substr(prefix.size()) == "r";
      reader.read(key.substr(prefix.size()));
    });
    if (!is_there) return std::nullopt;
    return reader.take();
  });
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
