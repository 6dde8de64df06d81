#pragma once

#include <map>
#include <set>
#include <string>

#include "wshare/tie_transposed.h"

namespace onnx {
class ModelProto;
}

namespace wshare {

// Returns for each of `weights`, of the main graph of `model`, why no other bits than now come of
// it when it is stored transposed and its readers take it so: empty where that is so, else why not.
//
// A MatMul that becomes FusedMatMul keeps its bits, but only where ONNX Runtime does not fuse it
// with its neighbours, which it would do with a MatMul only: with `other_bits` that is not asked.
std::map<std::string, std::string> why_not_turned(const onnx::ModelProto& model,
                                                  const std::set<std::string>& weights,
                                                  TieTransposed how, bool other_bits);

// Lets the readers of `weights`, for which why_not_turned() is empty, take them as transposed, and
// exchanges their dimensions.
void turn_weights(onnx::ModelProto& model, const std::set<std::string>& weights, TieTransposed how);

}  // namespace wshare
