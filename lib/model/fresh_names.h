#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace onnx {
class ModelProto;
}

namespace wshare {

// Gives names that no value, node or dimension of a model has yet, in any scope or function.
class FreshNames {
 public:
  explicit FreshNames(const onnx::ModelProto& model);

  bool is_free(const std::string& name) const { return taken_.count(name) == 0; }

  // Returns `wish`, or `wish` with the lowest number from _2 that makes it new; taken from now on.
  std::string make(const std::string& wish);

 private:
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_;  // by wish: names are never given back
};

}  // namespace wshare
