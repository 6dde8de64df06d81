#include "run/creation_stages.h"

#include <algorithm>

// Source of the messages: InferenceSession::Initialize(), GraphTransformer::Apply() and
// SaveInitializedTensors() of ONNX Runtime 1.23 to 1.32. The first of several equal ones counts: a
// subgraph has initializers of its own.

namespace wshare {
namespace {

constexpr std::string_view kLoaded = "Initializing session.";
constexpr std::string_view kTransformed = "GraphTransformer ";  // after each one
constexpr std::string_view kOptimised = "Saving initialized tensors.";
constexpr std::string_view kMade = "Session successfully initialized.";

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

void StageClock::add(std::string_view message) {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (message == kLoaded) {
    at_ = At::kPartition;
    optimise_ = now;
  } else if (at_ == At::kPartition && message.starts_with(kTransformed)) {
    // Before the first one, weights within the model are copied out of it: that is loading.
    at_ = At::kOptimise;
    optimise_ = now;
  } else if ((at_ == At::kPartition || at_ == At::kOptimise) && message == kOptimised) {
    at_ = At::kPack;
    pack_ = now;
  } else if (at_ == At::kPack && message == kMade) {
    at_ = At::kLoad;
    optimise_ms_ += milliseconds(pack_ - optimise_);
    pack_ms_ += milliseconds(now - pack_);
    any_ = true;
  }
}

std::optional<CreationStages> StageClock::stages(double total) const {
  const std::lock_guard lock(mutex_);
  if (!any_) return std::nullopt;
  return CreationStages{std::max(total - optimise_ms_ - pack_ms_, 0.0), optimise_ms_, pack_ms_};
}

}  // namespace wshare
