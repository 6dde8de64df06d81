#pragma once

#include <cstdint>

namespace onnx {
class ModelProto;
}

namespace wshare {

// Bounds the texts that are made of a model: the name of each tensor behind its scope repeats what
// the file says once, as often as tensors stand there. Of 1,206 models of exporters and of ONNX's
// own tests, none had more than 0.18 bytes of such text for each byte of it without weights.
class NameBudget {
 public:
  // `model` is without weights, and must outlive the budget.
  explicit NameBudget(const onnx::ModelProto& model) : model_(model) {}

  // Counts `bytes` of text more. Throws Error(kUnsupported) if they are then more than 64 for each
  // byte of the model, or 1 MiB, whichever is more.
  void spend(uint64_t bytes) {
    spent_ += bytes;
    if (spent_ > allowed_) raise();
  }

 private:
  void raise();

  const onnx::ModelProto& model_;
  uint64_t spent_ = 0;
  uint64_t allowed_ = uint64_t{1} << 20;  // until the model is measured
};

}  // namespace wshare
