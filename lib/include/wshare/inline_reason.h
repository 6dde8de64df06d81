#pragma once

namespace wshare {

// Why a tensor stays in its model file. The texts stand in docs/cli.md.
enum class InlineReason {
  kBelowMinBytes,
  kGraphOutput,
  kString,
  kSparse,
  kShapeInference,
  kSegment,
  kUnknownDtype,
  kSizeContradictsShape,
  kAttribute,  // an attribute that is no Constant value: kernels read it for themselves
  kTraining,   // a training graph, which ONNX Runtime does not load
};
const char* text_of(InlineReason reason);

}  // namespace wshare
