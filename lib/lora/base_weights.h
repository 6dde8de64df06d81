#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/scan.h"

namespace wshare {

// A weight of the base that can have a LoRA branch, or has one.
struct BaseWeight {
  int32_t tensor = 0;  // in ScannedModel::tensors
  std::string scope, name;
  std::string path;  // of its module, as the exporter left it; the weight's name where it left none
  bool is_table = false;                  // of an embedding: only Gather reads it
  int32_t dtype = 0;                      // of A and B
  std::vector<int64_t> a_shape, b_shape;  // -1 stands for the rank
  std::string a_name, b_name, rank_name;  // of the inputs
  bool has_branch = false;                // the base has these inputs
  std::string no_inputs;                  // why A and B can be no inputs, or empty
  // Why its layers are not one module that is used once or more, or empty: an adapter changes one
  // module, a branch changes all readers of the weight.
  std::string several_modules;
};

// A weight that cannot have a branch.
struct LeftWeight {
  std::string name;
  std::vector<std::string> paths;  // that its module may have
  std::string reason;              // "is quantized: is read by MatMulNBits '/q/MatMul_Q4'"
};

// A value that the base takes from outside, and holds a default for.
struct BaseInput {
  std::string name;
  int32_t dtype = 0;
  std::vector<int64_t> shape;  // -1: free
};

struct BaseWeights {
  std::vector<BaseWeight> weights;  // by tensor
  std::vector<LeftWeight> left;
  std::vector<BaseInput> inputs;
};

// Looks at the weights of `model`, a base as it lies in a bundle.
BaseWeights find_base_weights(const ScannedModel& model);

}  // namespace wshare
