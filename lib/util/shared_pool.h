#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "util/shared_array.h"

namespace wshare {

// Gives equal values one memory: Value is Text or Shape.
//
// A table that looks at a few neighbouring slots and no further: values that hostile text has
// chosen to collide are not shared, and cost no more time.
template <typename Value>
class SharedPool {
 public:
  template <typename Elements>
  Value of(const Elements& elements) {
    if (std::empty(elements)) return {};
    if (2 * count_ >= slots_.size()) grow();
    const size_t first = hash_of(elements);
    for (size_t i = 0; i < kNeighbours; ++i) {
      Value& slot = slots_[(first + i) % slots_.size()];
      if (slot == elements) return slot;
      if (!slot.empty()) continue;
      ++count_;
      return slot = Value(elements);
    }
    return Value(elements);
  }

 private:
  static constexpr size_t kNeighbours = 8;

  template <typename Elements>
  static size_t hash_of(const Elements& elements) {
    const auto bytes = std::as_bytes(std::span(elements));
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  void grow() {
    std::vector<Value> old(std::max<size_t>(2 * slots_.size(), 64));
    old.swap(slots_);
    for (const Value& value : old) {
      if (value.empty()) continue;
      const size_t first = hash_of(value);
      for (size_t i = 0; i < kNeighbours; ++i) {
        Value& slot = slots_[(first + i) % slots_.size()];
        if (!slot.empty()) continue;
        slot = value;
        break;
      }
    }
  }

  std::vector<Value> slots_;
  size_t count_ = 0;
};

}  // namespace wshare
