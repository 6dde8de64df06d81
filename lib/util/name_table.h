#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace wshare {

// Gives names numbers, 0, 1, ... in the order in which they come; their texts are not copied.
//
// For a million of them: a slot of 8 bytes has the number and a part of the hash, so that a look
// costs one miss of the cache and compares hardly any other text. (A node of its own for each name,
// as in std::unordered_map, took twice the time and three times the memory.)
class NameTable {
 public:
  // Makes room for `count` names.
  void reserve(size_t count) {
    names_.reserve(count);
    size_t slots = kFewSlots;
    while (slots / 2 < count) slots *= 2;
    if (slots > slots_.size()) lay_out(slots);
  }

  // Returns the number of `name`, which is size() - 1 if it is new.
  uint32_t add(std::string_view name) {
    if (names_.size() >= slots_.size() / 2) lay_out(slots_.empty() ? kFewSlots : 2 * slots_.size());
    const size_t hash = std::hash<std::string_view>()(name);
    Slot& slot = slots_[place_of(name, hash)];
    if (slot.number == kNone) {
      slot = {static_cast<uint32_t>(hash), static_cast<uint32_t>(names_.size())};
      names_.push_back(name);
    }
    return slot.number;
  }

  std::optional<uint32_t> find(std::string_view name) const {
    if (slots_.empty()) return std::nullopt;
    const Slot& slot = slots_[place_of(name, std::hash<std::string_view>()(name))];
    if (slot.number == kNone) return std::nullopt;
    return slot.number;
  }

  size_t size() const { return names_.size(); }
  std::string_view operator[](uint32_t number) const { return names_[number]; }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr size_t kFewSlots = 16;
  struct Slot {
    uint32_t hash = 0;
    uint32_t number = kNone;
  };

  // The slot of `name`, or the one where it would stand.
  size_t place_of(std::string_view name, size_t hash) const {
    for (size_t at = hash;; ++at) {
      const Slot& slot = slots_[at & (slots_.size() - 1)];
      const bool is_it = slot.number != kNone && slot.hash == static_cast<uint32_t>(hash) &&
                         names_[slot.number] == name;
      if (is_it || slot.number == kNone) return at & (slots_.size() - 1);
    }
  }

  void lay_out(size_t slots) {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots));
    for (const Slot& slot : old) {
      if (slot.number == kNone) continue;
      size_t at = std::hash<std::string_view>()(names_[slot.number]);
      while (slots_[at & (slots - 1)].number != kNone) ++at;
      slots_[at & (slots - 1)] = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two
  std::vector<std::string_view> names_;
};

}  // namespace wshare
