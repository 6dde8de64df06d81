#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string_view>

namespace wshare {

// What the creation of a session took, in milliseconds.
struct CreationStages {
  double load = 0;      // files, manifest, the model; and all that is neither of the others
  double optimise = 0;  // the graph: optimisers, the nodes' places, the plan of memory
  double pack = 0;      // weights are put in place, kernels made, weights packed for them

  bool operator==(const CreationStages&) const = default;
};

// Tells the stages of a creation apart by when ONNX Runtime logs what. Where a session is made in
// several attempts, the stages are those of all that succeeded.
class StageClock {
 public:
  // Takes one message, from level INFO on, at the time when it is logged; from any thread.
  void add(std::string_view message);

  // Returns the stages of a creation that took `total` milliseconds; none if no session was made,
  // or ONNX Runtime did not log it in the words that are known here.
  std::optional<CreationStages> stages(double total) const;

 private:
  using Clock = std::chrono::steady_clock;
  enum class At { kLoad, kPartition, kOptimise, kPack };

  mutable std::mutex mutex_;
  At at_ = At::kLoad;
  Clock::time_point optimise_, pack_;  // when they began
  double optimise_ms_ = 0, pack_ms_ = 0;
  bool any_ = false;
};

}  // namespace wshare
