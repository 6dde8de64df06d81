#include "model/name_budget.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <string>

#include "wshare/error.h"

namespace wshare {

void NameBudget::raise() {
  constexpr uint64_t kTextPerByte = 64;
  allowed_ = std::max(allowed_, kTextPerByte * model_.ByteSizeLong());
  if (spent_ <= allowed_) return;
  throw Error(ErrorCode::kUnsupported,
              "the names of its tensors with their scopes need more than " +
                  std::to_string(allowed_) + " bytes, " + std::to_string(kTextPerByte) +
                  " for each byte of the graph: some are long and stand around many tensors");
}

}  // namespace wshare
