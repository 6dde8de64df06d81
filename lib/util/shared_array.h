#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wshare/error.h"

namespace wshare {

// Values that never change and are held once by all their copies: one pointer each, nothing at all
// for an empty one. Records of half a million tensors have few scopes and shapes, and models of one
// family the same names.
//
// Copies may be made and dropped by any thread. Throws Error(kUnsupported) over 2^32-1 elements.
template <typename T>
class SharedArray {
 public:
  SharedArray() = default;
  explicit SharedArray(std::span<const T> values) {
    if (values.empty()) return;
    if (values.size() > UINT32_MAX)
      throw Error(ErrorCode::kUnsupported, "a name or shape has over 2^32-1 elements");
    void* memory = ::operator new(sizeof(Block) + values.size_bytes());
    block_ = new (memory) Block{{1}, static_cast<uint32_t>(values.size())};
    std::uninitialized_copy(values.begin(), values.end(), elements());
  }
  SharedArray(const SharedArray& other) : block_(other.block_) {
    if (block_ != nullptr) block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  SharedArray(SharedArray&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  SharedArray& operator=(SharedArray other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~SharedArray() {
    if (block_ != nullptr && block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1)
      ::operator delete(block_);
  }

  size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  bool empty() const { return block_ == nullptr; }
  const T* data() const { return block_ == nullptr ? nullptr : elements(); }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size(); }
  const T& operator[](size_t i) const { return data()[i]; }

 private:
  struct alignas(8) Block {
    std::atomic<uint32_t> owners;
    uint32_t size;
  };
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= alignof(Block));

  T* elements() const { return reinterpret_cast<T*>(block_ + 1); }

  Block* block_ = nullptr;
};

// A name; stands wherever a std::string or std::string_view is asked for.
class Text : public SharedArray<char> {
 public:
  Text() = default;
  template <std::convertible_to<std::string_view> From>
  requires(!std::same_as<From, Text>) Text(const From& text)
      : SharedArray(std::span<const char>(std::string_view(text))) {}

  operator std::string_view() const { return {data(), size()}; }
  operator std::string() const { return {data(), size()}; }
  bool starts_with(std::string_view head) const {
    return std::string_view(*this).starts_with(head);
  }

  template <std::convertible_to<std::string_view> Other>
  friend bool operator==(const Text& a, const Other& b) {
    return std::string_view(a) == std::string_view(b);
  }
  template <std::convertible_to<std::string_view> Other>
  friend auto operator<=>(const Text& a, const Other& b) {
    return std::string_view(a) <=> std::string_view(b);
  }
};

// The dimensions of a tensor.
class Shape : public SharedArray<int64_t> {
 public:
  Shape() = default;
  Shape(const std::vector<int64_t>& dims) : SharedArray(std::span<const int64_t>(dims)) {}
  Shape(std::initializer_list<int64_t> dims) : SharedArray(std::span(dims.begin(), dims.size())) {}

  operator std::vector<int64_t>() const { return {begin(), end()}; }

  template <std::convertible_to<std::span<const int64_t>> Other>
  friend bool operator==(const Shape& a, const Other& b) {
    return std::ranges::equal(a, std::span<const int64_t>(b));
  }
};

}  // namespace wshare
