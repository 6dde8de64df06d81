#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace wshare {

// Where a program lets external data lie.
enum class DataPlace {
  kAnywhere,
  kInFolder,        // its real path is in the folder that the model is given in
  kInEitherFolder,  // or in that which the model's own real path is in
  kNoLink,          // a plain file in the folder, that has no other name
};

// A program that opens models, and what it takes.
struct DoctorTarget {
  std::string name;
  DataPlace place = DataPlace::kAnywhere;
  bool takes_absolute = false;  // locations
  bool takes_packs = true;
  bool takes_tasks = true;
  // The newest it knows, of ai.onnx and of the format.
  int64_t ir_version = std::numeric_limits<int64_t>::max();
  int64_t opset = std::numeric_limits<int64_t>::max();
};

// All known ones, oldest first.
std::span<const DoctorTarget> all_targets();

}  // namespace wshare
